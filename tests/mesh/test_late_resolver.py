"""A /dns address is resolved though dnspython was not loaded with the node: by a name server on a real socket."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from inos.mesh import lean_imports

SOURCE = Path(lean_imports.__file__).parents[2]

PROGRAM = """
import sys, trio
import inos.mesh.libp2p_host
from inos.mesh.lean_imports import LateResolver
from multiaddr import Multiaddr
from libp2p.transport.tcp.tcp import TCP

assert "dns" not in sys.modules, "loaded with the node"

async def answer_names(server):
    import dns.message, dns.rrset
    while True:
        query, address = await server.recvfrom(4096)
        asked = dns.message.from_wire(query)
        answer = dns.message.make_response(asked)
        name, kind = asked.question[0].name, asked.question[0].rdtype
        if str(name) == "attic.example." and kind == 1:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "127.0.0.1"))
        await server.sendto(answer.to_wire(), address)

async def take_one(listener):
    stream = await listener.accept()
    await stream.send_all(b"hello")

async def main():
    server = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
    await server.bind(("127.0.0.1", 0))
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    await LateResolver().resolve(Multiaddr("/ip4/127.0.0.1"))  # loads dnspython as a node would
    import dns.resolver
    def ours(self, _file):
        self.nameservers, self.port = ["127.0.0.1"], server.getsockname()[1]
    dns.resolver.BaseResolver.read_resolv_conf = ours
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer_names, server)
        nursery.start_soon(take_one, listener)
        connection = await TCP().dial(Multiaddr(f"/dns4/attic.example/tcp/{listener.socket.getsockname()[1]}"))
        print((await connection.read(5)).decode())
        await connection.close()
        nursery.cancel_scope.cancel()

trio.run(main)
print([name for name in ("aioquic", "OpenSSL", "httpx", "httpx2", "httpcore2") if name in sys.modules])
"""


def test_a_name_is_resolved_when_it_is_dialled() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PYTHONPATH": str(SOURCE)},
    )
    assert done.stdout.split("\n")[:2] == ["hello", "[]"], done.stderr
