"""A put that was killed half-way: taken up again where it stopped, and nothing of it stays for good when it is not."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from soak_mesh import SoakMesh, no_traceback, opened

from inos.cli.local_mesh import LocalNode
from inos.core.errors import InosError
from inos.vault.sealing import BATCH_CHUNKS

# Several times what it takes alone: other suites may run beside it on two cores.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SIZE = 60 * (1 << 20)
CHUNK = 1 << 20
CHUNKS_MIN = 32  # stored when the node is killed: well into the object, well before its end
FREED_S = 30.0


def chunk_files(node: LocalNode) -> dict[str, tuple[int, int]]:
    """Every chunk file with its inode and time: a file written again has others."""
    found = {}
    for path in (node.home / "blobs").rglob("*.enc"):
        status = path.stat()
        found[path.name] = (status.st_ino, status.st_mtime_ns)
    return found


def chunks_of(node: LocalNode) -> int:
    with opened(node) as mesh:
        chunks: int = mesh.status().chunks
        return chunks


def kill_in_the_middle(mesh: SoakMesh, node: LocalNode, data: bytes, already: int) -> None:
    """Put `data` and kill the node once a good part of it is on its disk."""
    outcome: list[object] = []

    def slowly() -> Iterator[bytes]:
        for start in range(0, len(data), CHUNK):
            time.sleep(0.03)
            yield data[start : start + CHUNK]

    class Source:
        """A stream that leaves time to be killed in the middle of it."""

        def __init__(self) -> None:
            self._blocks = slowly()

        def __aiter__(self) -> Source:
            return self

        async def __anext__(self) -> bytes:
            try:
                return next(self._blocks)
            except StopIteration:
                raise StopAsyncIteration from None

    def put() -> None:
        try:
            with opened(node) as client:
                outcome.append(client.put(Source(), name="/half", size=len(data)))
        except InosError as error:
            outcome.append(error)

    putting = threading.Thread(target=put)
    putting.start()
    while len(chunk_files(node)) < already + CHUNKS_MIN:
        time.sleep(0.005)
    mesh.kill(node)
    putting.join()
    assert isinstance(outcome[0], InosError), f"the put ended before the node was killed: {outcome[0]}"


def wait_chunks(node: LocalNode, wanted: int) -> None:
    deadline_s = time.monotonic() + FREED_S
    while (found := chunks_of(node)) != wanted:
        assert time.monotonic() < deadline_s, f"{node.name} keeps {found} chunks, {wanted} are needed"
        time.sleep(0.3)


def test_a_killed_put_is_taken_up_again(tmp_path: Path) -> None:
    data = os.urandom(SIZE)
    with SoakMesh(tmp_path) as mesh:
        mesh.start(3)
        node = mesh.nodes[0]
        kill_in_the_middle(mesh, node, data, 0)
        mesh.revive(node)
        before = chunk_files(node)
        assert len(before) >= CHUNKS_MIN
        with opened(node) as client:
            report = client.put(data, name="/whole")
            assert b"".join(client.stream(report.ref)) == data
        after = chunk_files(node)
        written_again = [name for name, facts in before.items() if after.get(name) != facts]
        # Files of batches that were not acknowledged yet when the node died are not in its index.
        assert len(written_again) <= 2 * BATCH_CHUNKS, f"{len(written_again)} of {len(before)} files were written again"
        assert len(after) == SIZE // CHUNK
        no_traceback(mesh)


def test_a_killed_put_leaves_nothing_for_good(tmp_path: Path) -> None:
    kept, lost = os.urandom(5 * CHUNK), os.urandom(SIZE)
    with SoakMesh(tmp_path, ("--remove-delay", "2s")) as mesh:
        mesh.start(3)
        node = mesh.nodes[0]
        with opened(node) as client:
            report = client.put(kept, name="/kept")
            assert report.survives == 2
        needed = chunks_of(node)
        kill_in_the_middle(mesh, node, lost, len(chunk_files(node)))
        others = mesh.nodes[1:]
        assert any(chunks_of(other) > needed for other in others), "nothing was pushed before the kill"
        mesh.revive(node)
        wait_chunks(node, needed)
        # The others go through all they have once an hour, and when they start.
        mesh.kill(*others)
        for other in others:
            mesh.revive(other)
        for other in others:
            wait_chunks(other, needed)
        with opened(others[0]) as client:
            assert b"".join(client.stream(report.ref)) == kept
        no_traceback(mesh)
