"""Operations of a whole node, alone in its mesh: all that `inos up` runs but the API and the sockets.

What is left is read by a node as well, once its collection has been through: whatever is then on the disk is named by
something, so that what a killed put or removal left behind is seen to be freed.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import trio

from crash.operations import Acknowledge, Operation
from crash.roots import Clock, Facts, Found, Scene, digest, make_root, opens
from crash.roots import found as found_in_stores
from inos.core.endpoint import Endpoint
from inos.core.errors import Conflict
from inos.core.reports import BatchItem, PutOptions
from inos.mesh.network import Admission, Network
from inos.node.core import Core, NodeSettings, Parts, open_core
from inos.node.disk import open_disk
from inos.node.identity import load_identity
from inos.sim.fabric import MemoryFabric
from inos.store.dataroot import DataRoot

_QUOTA_BYTES: Final = 10**9
_SMALL: Final = b"a small object " * 100
_LARGE: Final = bytes(range(256)) * 10_000  # three chunks
# Noticing a removal, ending the holding, freeing its chunks; and one more that finds nothing.
_ROUNDS: Final = 4


class NodeClock(Clock):
    """Its clocks go as the machine's do; `ahead_s` moves both."""

    def now_s(self) -> float:
        return time.time() + self.ahead_s

    def monotonic_s(self) -> float:
        return time.monotonic() + self.ahead_s


@asynccontextmanager
async def running(scene: Scene, env: NodeClock, remove_delay_s: float) -> AsyncGenerator[Core, None]:
    """The node of the scene, until the end."""
    root = DataRoot(scene.home)
    with root.lock():
        unlocked = root.unlock(opens(root))
        with open_disk(scene.home, unlocked.keyring.database_key(), _QUOTA_BYTES, env) as disk:
            identity = load_identity(unlocked.keyring, unlocked.node_key(), disk.settings, env)

            @asynccontextmanager
            async def network(admission: Admission) -> AsyncGenerator[Network, None]:
                yield MemoryFabric(env).join(identity.peer, admission)

            settings = NodeSettings("alone", "heavy", "", repair_after_s=30.0, remove_delay_s=remove_delay_s)
            async with open_core(Parts(identity, settings, disk, network), env) as core:
                root.write_api_file(Endpoint("http://127.0.0.1:1", "a token"))
                yield core


def _on_node(scene: Scene, work: Callable[[Core], Awaitable[None]]) -> None:
    async def main() -> None:
        async with running(scene, NodeClock(), 3600.0) as core:
            await work(core)

    trio.run(main)


async def _bytes(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 1 << 20):
        yield data[at : at + (1 << 20)]


def _put(contents: dict[str, bytes], scene: Scene, acknowledge: Acknowledge) -> None:
    async def work(core: Core) -> None:
        for name, data in contents.items():
            await core.keeping.vault.put(_bytes(data), PutOptions(name=name, size=len(data)))
            acknowledge()

    _on_node(scene, work)


def _put_without_name(scene: Scene, acknowledge: Acknowledge) -> None:
    async def work(core: Core) -> None:
        for data in (_SMALL, _LARGE):
            await core.keeping.vault.put(_bytes(data), PutOptions(name=None, size=len(data)))
            acknowledge()

    _on_node(scene, work)


def _put_folder(scene: Scene, acknowledge: Acknowledge) -> None:
    async def work(core: Core) -> None:
        items = [BatchItem(f"/folder/{number}", 0o644, 0, b"%d " % number * 300) for number in range(20)]
        await core.keeping.vault.put_batch(items, "")
        acknowledge()

    _on_node(scene, work)


def _remove(names: tuple[str, ...], scene: Scene, acknowledge: Acknowledge) -> None:
    async def work(core: Core) -> None:
        there = {item.name for item in (await core.keeping.vault.list("", "", 1000)).items}
        for name in names:
            if name in there:
                await core.keeping.vault.remove(f"inos:{name}")
            acknowledge()

    _on_node(scene, work)


def _pin(scene: Scene, acknowledge: Acknowledge) -> None:
    async def work(core: Core) -> None:
        for name in ("/small", "/large"):
            cids = await core.keeping.vault.objects_of(f"inos:{name}")
            await core.keeping.pinning.pin(cids, True)
            acknowledge()

    _on_node(scene, work)


def _collect(scene: Scene, acknowledge: Acknowledge) -> None:
    async def main() -> None:
        env = NodeClock()
        async with running(scene, env, 3600.0) as core:
            await _collected(core, env)
            acknowledge()

    trio.run(main)


async def _collected(core: Core, env: NodeClock) -> None:
    rounds = 0
    while rounds < _ROUNDS:
        env.ahead_s += 7200
        try:
            await core.keeping.collector.step()
            rounds += 1
        except Conflict:  # its worker had just begun
            await trio.sleep(0.01)


def _with_objects(scene: Scene) -> None:
    make_root(scene)
    _put({"/small": _SMALL, "/large": _LARGE, "/other": _LARGE[::-1]}, scene, lambda: None)


def _with_removed(scene: Scene) -> None:
    _with_objects(scene)
    _remove(("/large", "/small"), scene, lambda: None)


def _found_by_node(scene: Scene) -> Found:
    """The stores are looked at first, as they were left; then a node takes them up, is asked for everything, and
    collects."""
    seen = found_in_stores(scene, collects=False)
    facts = {key: value for key, value in seen.facts.items() if not key.startswith(("chunk ", "objects ", "local "))}
    recovery_s = trio.run(_read_everything, scene, facts)
    return Found(facts, recovery_s)


async def _read_everything(scene: Scene, facts: Facts) -> float:
    env = NodeClock()
    began = time.perf_counter()
    async with running(scene, env, 3600.0) as core:
        recovery_s = time.perf_counter() - began
        vault = core.keeping.vault
        # Its worker does so as well, at some moment. What a name that is given now stood for goes in the next round.
        for _ in range(2):
            await core.keeping.namer.finish()
        facts["without a name"] = str(len((await vault.list_nameless("", 1000)).items))
        for item in (await vault.list("", "", 1000)).items:
            reading = await vault.open(f"inos:{item.name}", 0, None)
            facts[f"name {item.name}"] = digest(b"".join([part async for part in reading.chunks]))
        await _collected(core, env)
        for address in core.disk.chunks.addresses():
            facts[f"chunk {address.hex()[:12]}"] = digest(core.disk.chunks.get(address))
        for one in core.disk.local.page(None, 1000, pinned=True):
            facts[f"pin {one.cid}"] = "pinned"
    return recovery_s


OPERATIONS: Final = (
    Operation("node: put small objects", make_root, partial(_put, {"/a": b"a", "/b": _SMALL}), _found_by_node),
    Operation("node: put large objects", make_root, partial(_put, {"/a": _LARGE, "/b": _LARGE + b"b"}), _found_by_node),
    Operation("node: replace an object", _with_objects, partial(_put, {"/small": b"another", "/large": b"shorter"}),
              _found_by_node),
    Operation("node: put without a name", _with_objects, _put_without_name, _found_by_node),
    Operation("node: put a folder", make_root, _put_folder, _found_by_node),
    Operation("node: remove objects", _with_objects, partial(_remove, ("/large", "/small")), _found_by_node),
    Operation("node: collect", _with_removed, _collect, _found_by_node, changes=False),
    Operation("node: pin objects", _with_objects, _pin, _found_by_node),
)  # fmt: skip
