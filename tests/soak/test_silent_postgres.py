"""A hub whose PostgreSQL server is stopped without dying (SIGSTOP): its node goes on with all else, says that the hub
does not answer, and works again by itself when the server does. What was acknowledged is there, once."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from soak_mesh import SoakMesh, no_traceback, opened

from inos.core.errors import InosError
from inos.core.messages.query import MessageQuery
from inos.messages.postgres_connections import ANSWER_S
from postgres_server import postgres_server

pytestmark = [pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(300)]

SILENT_S = 2 * ANSWER_S
# A call that begins in silence waits for a connection, and then for an answer on it.
CALL_S = 2 * ANSWER_S + 5


def test_a_silent_server_stops_nothing_but_the_hub(tmp_path: Path) -> None:
    with postgres_server() as server, SoakMesh(tmp_path, ["--hub"]) as mesh:
        mesh.start(1)
        (node,) = mesh.nodes
        node.stop()
        config = node.home / "config" / "hub.yaml"
        config.parent.mkdir(exist_ok=True)
        config.write_text(f"store: {json.dumps(server.url)}\n")
        config.chmod(0o600)
        node.start()
        node.wait_ready()
        posted: list[str] = []
        with opened(node) as client:
            posted += [client.messages.post(f"agent-{n}", {"n": n}).id for n in range(20)]
            wait_for(lambda: client.messages.report().messages == 20)
            with server.silent():
                began_s = time.monotonic()
                slowest_s, refused = 0.0, 0
                while time.monotonic() - began_s < SILENT_S:
                    posted.append(client.messages.post(f"agent-{len(posted) % 20}", {"n": len(posted)}).id)
                    asked_s = time.monotonic()
                    ref = client.put(content := os.urandom(100_000)).ref
                    assert b"".join(client.stream(ref)) == content
                    slowest_s = max(slowest_s, time.monotonic() - asked_s)
                    asked_s = time.monotonic()
                    try:
                        client.messages.mark([posted[0]], "read")
                    except InosError as error:
                        refused += 1
                        assert error.code == "unavailable"
                    assert time.monotonic() - asked_s < CALL_S
                    time.sleep(0.1)
                assert refused
                assert slowest_s < ANSWER_S / 2, "storing a file waited for the database"
            wait_for(lambda: client.messages.report().messages == len(posted))
            found = client.messages.page(MessageQuery(limit=500)).messages
            assert sorted(each.message.id for each in found) == sorted(posted)
            client.messages.mark([posted[0]], "read")
        print(f"{len(posted)} messages, {refused} calls refused, the slowest file took {slowest_s:.2f} s")
        no_traceback(mesh)


def wait_for(what: object) -> None:
    assert callable(what)
    until_s = time.monotonic() + 60
    while True:
        try:
            if what():
                return
        except InosError:
            pass
        assert time.monotonic() < until_s
        time.sleep(0.2)
