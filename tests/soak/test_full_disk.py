"""Full disks: said clearly, nothing lost, and over as soon as there is room again."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from small_disk import Limited, SmallDisk, small_disk
from soak_mesh import SoakMesh, inos, no_traceback, opened

from inos.cli.local_mesh import LocalNode
from inos.core.endpoint import read_endpoint
from inos.core.errors import Unavailable

# Several times what it takes alone: other suites may run beside it on two cores.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MB = 10**6
# The store keeps 64 MiB of the disk free: what is left over is room for a few dozen chunks.
DISK_MB = 130
REPAIR_S = 60.0

Disks = Callable[[Path], AbstractContextManager[SmallDisk]]


def limited(folder: Path) -> AbstractContextManager[SmallDisk]:
    """The stand-in on its own, so that it is known to work wherever it is needed."""
    folder.mkdir()
    return nullcontext(Limited(folder))


def mounted(folder: Path) -> AbstractContextManager[SmallDisk]:
    return small_disk(folder, DISK_MB)


def put_status(node: LocalNode, size: int) -> tuple[int, dict[str, object]]:
    """What the API itself answers to an upload."""
    endpoint = read_endpoint(node.home)
    connection = http.client.HTTPConnection(urlsplit(endpoint.url).netloc, timeout=60)
    try:
        connection.request("PUT", "/v1/objects", os.urandom(size), {"authorization": f"Bearer {endpoint.token}"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize("disks", [mounted, limited])
def test_a_full_disk_refuses_clearly_and_works_again_with_room(tmp_path: Path, disks: Disks) -> None:
    kept, more = os.urandom(3 * MB), os.urandom(3 * MB)
    with disks(tmp_path / "disk") as disk, SoakMesh(disk.folder) as mesh:
        mesh.start(1)
        (node,) = mesh.nodes
        with opened(node) as client:
            ref = client.put(kept, name="/kept").ref
        disk.fill(node.pid)
        refused = inos("put", "-", "--name", "/more", "--home", str(node.home), stdin=more)
        assert refused.returncode == 1, refused
        said = refused.stderr.decode()
        assert "no room" in said or "do not fit" in said, said
        assert "hint: free space" in said, said
        assert "Traceback" not in said
        status, answer = put_status(node, 2 * MB)
        assert status == 507, answer
        assert answer["error"]["code"] == "storage_full"  # type: ignore[index]
        assert node.running
        with opened(node) as client:
            assert b"".join(client.stream(ref)) == kept
            assert [item.name for item in client.list()] == ["/kept"]
            assert client.status().objects == 1
        disk.free(node.pid)
        with opened(node) as client:
            report = client.put(more, name="/more")
            assert b"".join(client.stream(report)) == more
            assert b"".join(client.stream(ref)) == kept
        no_traceback(mesh)


def test_more_than_fits_is_refused_on_the_way_and_leaves_room_for_the_node(tmp_path: Path) -> None:
    """Nothing was said about the size beforehand: the stream meets the end of the disk."""
    with small_disk(tmp_path / "disk", DISK_MB) as disk, SoakMesh(disk.folder, ("--remove-delay", "1s")) as mesh:
        mesh.start(1)
        (node,) = mesh.nodes
        if isinstance(disk, Limited):
            disk.fill(node.pid)
        refused = inos("put", "-", "--name", "/large", "--home", str(node.home), stdin=os.urandom(DISK_MB * MB))
        assert refused.returncode == 1
        assert "free space" in refused.stderr.decode(), refused.stderr
        if isinstance(disk, Limited):
            disk.free(node.pid)
        mesh.kill(node)
        mesh.revive(node)  # frees what the broken put left
        with opened(node) as client:
            deadline_s = time.monotonic() + 20
            while client.status().chunks and time.monotonic() < deadline_s:
                time.sleep(0.2)
            data = os.urandom(20 * MB)
            assert b"".join(client.stream(client.put(data))) == data
        no_traceback(mesh)


def test_a_member_whose_disk_is_full_costs_one_copy(tmp_path: Path) -> None:
    data = os.urandom(8 * MB)
    with small_disk(tmp_path / "disk", DISK_MB) as disk, SoakMesh(tmp_path, ("--repair-after", "2s")) as mesh:
        (disk.folder / "root").mkdir(mode=0o700)
        (tmp_path / "node-2").symlink_to(disk.folder / "root")
        mesh.start(4)
        node, full = mesh.nodes[0], mesh.nodes[1]
        disk.fill(full.pid)
        with opened(node) as client:
            report = client.put(data, name="/copies")
            assert report.level == "quorum"
            assert report.survives == 2, "three of four nodes hold it"
            assert report.wanted_survives > report.survives
            shares = {share.node_name: share for share in client.stat(report).members}
            assert shares[full.name].held < shares[full.name].assigned
            for reader in mesh.nodes:
                with opened(reader) as other:
                    assert b"".join(other.stream(report)) == data
        assert full.running
        disk.free(full.pid)
        with opened(node) as client:
            deadline_s = time.monotonic() + REPAIR_S
            while client.stat(report).survives < 3:
                assert time.monotonic() < deadline_s, client.stat(report)
                time.sleep(0.5)
        no_traceback(mesh)


def test_a_disk_full_at_start_is_said(tmp_path: Path) -> None:
    """`init` and `up` on a disk without a free byte: one line that says so, or a node that still reads."""
    kept = b"kept" * 1000
    with small_disk(tmp_path / "disk", DISK_MB) as disk, SoakMesh(disk.folder) as mesh:
        mesh.start(1)
        (node,) = mesh.nodes
        with opened(node) as client:
            ref = client.put(kept).ref
        node.stop()
        disk.fill(os.getpid())
        try:
            made = inos("init", "--no-passphrase", "--home", str(disk.folder / "new"))
            node.start()
            with suppress(Unavailable):
                node.wait_ready()
            node.stop()
        finally:
            disk.free(os.getpid())
        assert "Traceback" not in made.stderr.decode()
        assert made.returncode == 1 or isinstance(disk, Limited)
        mesh.revive(node)
        with opened(node) as client:
            assert b"".join(client.stream(ref)) == kept
        no_traceback(mesh)
