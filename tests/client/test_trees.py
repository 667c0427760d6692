"""Folders in and out: everything comes back as it was, and nothing ever lands outside."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from inos.client.mesh import Mesh
from inos.client.restore import place
from inos.client.walk import FILE, Entry, group, walk
from inos.core.batch import BATCH_ITEM_MAX, BATCH_ITEMS_MAX, BATCH_MAX
from inos.core.errors import BadInput, Conflict, Corrupt, InosError, NotFound
from inos.core.reports import CatalogueItem, TreeReport
from inos.testing.memory_service import MemoryService


def picture(root: Path) -> dict[str, Any]:
    """All that should survive of a tree."""
    found: dict[str, Any] = {}
    for path in sorted(root.rglob("*")):
        name, status = str(path.relative_to(root)), path.lstat()
        if path.is_symlink():
            found[name] = str(path.readlink())
        else:
            content = path.read_bytes() if path.is_file() else None
            found[name] = (stat.S_IMODE(status.st_mode), status.st_mtime_ns // 10**6, content)
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "my tree"
    (root / "sub" / "deep er").mkdir(parents=True)
    (root / "empty").mkdir(mode=0o750)
    (root / "-dash").write_bytes(b"dash")
    (root / "nothing").write_bytes(b"")
    (root / "sub" / "ünï→cödé 文.txt").write_bytes(b"unicode")
    (root / "sub" / "deep er" / "script").write_bytes(b"#!")
    (root / "sub" / "deep er" / "script").chmod(0o700)
    (root / "big").write_bytes(os.urandom(200_000))
    for number in range(60):
        (root / "sub" / f"small-{number}").write_bytes(os.urandom(number * 1000))
    (root / "inside").symlink_to("sub/small-1")
    (root / "dangling").symlink_to("/no/such/place")
    (root / "up").symlink_to("..", target_is_directory=True)
    os.utime(root / "sub" / "deep er", ns=(1_600_000_000_000_000_000,) * 2)
    return root


def test_a_tree_comes_back_as_it_was(run: Any, tree: Path, tmp_path: Path) -> None:
    before = {name: item for name, item in picture(tree).items() if isinstance(item, tuple)}

    async def work(mesh: Mesh) -> None:
        put = await mesh.put(tree)
        assert isinstance(put, TreeReport) and put.ref == str(put) == "inos:/my tree"
        assert (put.files, put.folders, put.links, put.skipped) == (65, 4, 3, ())
        assert put.size == sum(item[2] is not None and len(item[2]) for item in before.values() if len(item) == 3)
        got = await mesh.get("my tree", tmp_path / "copy")
        assert (got.files, got.folders, got.links, got.size) == (65, 4, 3, put.size)

    run(work)
    assert picture(tmp_path / "copy") == picture(tree)


def test_it_is_merged_into_what_is_there(run: Any, tree: Path, tmp_path: Path) -> None:
    async def work(mesh: Mesh) -> None:
        await mesh.put(tree, name="/t")
        await mesh.get("/t", tmp_path / "copy")
        (tmp_path / "copy" / "mine").write_bytes(b"mine")
        (tmp_path / "copy" / "big").write_bytes(b"changed")
        (tmp_path / "copy" / "inside").unlink()
        (tmp_path / "copy" / "inside").symlink_to("elsewhere")
        await mesh.get("inos:/t/", tmp_path / "copy")

    run(work)
    (tmp_path / "copy" / "mine").unlink()
    assert picture(tmp_path / "copy") == picture(tree)


def test_parts_of_a_tree(run: Any, tree: Path, tmp_path: Path) -> None:
    async def work(mesh: Mesh) -> None:
        await mesh.put(tree, name="/t")
        await mesh.get("/t/sub/deep er", tmp_path / "part")
        await mesh.get("/t/inside", tmp_path / "link")
        await mesh.get("/t/empty", tmp_path / "none")
        with pytest.raises(NotFound):
            await mesh.get("/t/su", tmp_path / "x")

    run(work)
    assert [path.name for path in (tmp_path / "part").iterdir()] == ["script"]
    assert str((tmp_path / "link").readlink()) == "sub/small-1"
    assert list((tmp_path / "none").iterdir()) == []


def test_special_files_are_skipped_and_told(run: Any, tmp_path: Path) -> None:
    root = tmp_path / "t"
    root.mkdir()
    (root / "file").write_bytes(b"x")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
        report = run(lambda mesh: mesh.put(root))
    assert report.files == 1
    assert [line.partition(": ")[0] for line in report.skipped] == [str(root / "pipe"), str(root / "socket")]


@pytest.mark.parametrize("name", [b"bad\xff", b"two\nlines", b"x" * 250 + b"/" + b"y" * 250])
def test_a_name_that_no_object_can_have_is_found_before_anything_is_sent(run: Any, tmp_path: Path, name: bytes) -> None:
    root = tmp_path / "t"
    (root / "a folder").mkdir(parents=True)
    path = root / os.fsdecode(name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")

    async def work(mesh: Mesh) -> list[str]:
        with pytest.raises(BadInput, match=r"cannot hold the character|bytes are possible"):
            await mesh.put(root, name="n" * 600)
        return [item.name async for item in mesh.list()]

    assert run(work) == []


def test_a_file_that_vanishes_or_cannot_be_read_is_named(run: Any, tmp_path: Path, monkeypatch: Any) -> None:
    root = tmp_path / "t"
    root.mkdir()
    (root / "secret").write_bytes(b"x" * (BATCH_ITEM_MAX + 1))
    opened = Path.open

    def refuse(path: Path, *args: Any, **kwargs: Any) -> Any:
        # Tests may run as root, who may read anything.
        if path.name == "secret":
            raise PermissionError(13, "Permission denied")
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)

    async def work(mesh: Mesh) -> None:
        with pytest.raises(InosError, match="secret: permission denied"):
            await mesh.put(root)

    run(work)


def test_an_empty_folder(run: Any, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()

    async def work(mesh: Mesh) -> None:
        report = await mesh.put(tmp_path / "t")
        assert (report.size, report.survives) == (0, 0)
        await mesh.get("t", tmp_path / "copy")

    run(work)
    assert (tmp_path / "copy").is_dir()


def test_what_is_unfinished_takes_nobodys_name(run: Any, tmp_path: Path) -> None:
    """Neither that of a file that was just written, nor that of one that was there."""
    root, content = tmp_path / "t", os.urandom(200_000)
    root.mkdir()
    (root / "foo.part").write_bytes(b"precious")
    (root / "foo").symlink_to("target")
    (root / "big").write_bytes(content)
    left = f"big.{hashlib.sha256(content).hexdigest()[:12]}.part"  # of a download that was broken off there
    (root / left).write_bytes(content[:1000])
    (tmp_path / "mine.part").write_bytes(b"mine")

    async def work(mesh: Mesh) -> None:
        await mesh.put(root)
        await mesh.get("t", tmp_path / "copy")
        await mesh.get("t/foo", tmp_path / "mine")

    run(work)
    assert picture(tmp_path / "copy") == picture(root)
    assert (tmp_path / "mine.part").read_bytes() == b"mine" and (tmp_path / "mine").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "home", "mine", "mine.part", "t"]


def test_the_longest_names_come_back(run: Any, tmp_path: Path) -> None:
    root = tmp_path / "t"
    root.mkdir()
    (root / "ok").write_bytes(b"ok")
    for length in (237, 238, 242, 255):
        (root / ("f" * length)).write_bytes(b"%d" % length)
    (root / ("l" * 253)).symlink_to("ok")
    (root / ("d" * 255)).mkdir()

    async def work(mesh: Mesh) -> None:
        await mesh.put(root)
        await mesh.get("t", tmp_path / "copy")

    run(work)
    assert picture(tmp_path / "copy") == picture(root)


def hostile(service: MemoryService, *items: tuple[str, str, str]) -> None:
    some = next(iter(service.names.values()))
    for name, kind, target in items:
        service.names[name] = CatalogueItem(name, kind, 1, 0, some.ref, some.cid, 0o6755, target)


def test_nothing_is_written_through_a_link(run: Any, service: MemoryService, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()

    async def work(mesh: Mesh) -> None:
        await mesh.put(b"x", name="/seed")
        hostile(service, ("/t/d", "link", str(outside)), ("/t/d/file", "file", ""))
        await mesh.get("/t", tmp_path / "copy")
        assert (tmp_path / "copy" / "d" / "file").read_bytes() == b"x"
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "d").symlink_to(outside)
        hostile(service, ("/u/d/file", "file", ""))
        with pytest.raises(Conflict, match="nothing is written through it"):
            await mesh.get("/u", tmp_path / "other")
        hostile(service, ("/w/a", "link", str(outside)), ("/w/a/b", "link", "x"))
        await mesh.get("/w", tmp_path / "third")
        assert (tmp_path / "third" / "a" / "b").is_symlink()

    run(work)
    assert list(outside.iterdir()) == []


def test_what_has_no_place_here_is_left_out_and_told(run: Any, service: MemoryService, tmp_path: Path) -> None:
    """Names that are a file and a folder, as two sides of a cut make them; names of other systems."""
    long = "ü" * 128

    async def work(mesh: Mesh) -> None:
        await mesh.put(b"x", name="/seed")
        hostile(
            service,
            ("/t/a", "file", ""),
            ("/t/a/b", "file", ""),
            ("/t/c", "link", "a"),
            ("/t/c/d/e", "link", "a"),
            (f"/t/{long}", "file", ""),
            ("/t/empty", "link", ""),
            ("/t/zero", "link", "a\0b"),
            ("/t/z", "file", ""),
        )
        got = await mesh.get("/t", tmp_path / "copy")
        assert (got.files, got.links, got.size) == (2, 1, 2)
        left = dict(line.split(": ", 1) for line in got.left_out)
        assert list(left) == ["/t/a", "/t/c", "/t/empty", "/t/zero", f"/t/{long}"]
        assert "inos get /t/a OUT" in left["/t/a"] and "255 bytes" in left[f"/t/{long}"]
        assert "no link can point to" in left["/t/empty"] and "no link can point to" in left["/t/zero"]
        # Each of them by itself.
        file, folder = await mesh.get("/t/a", tmp_path / "a"), await mesh.get("/t/a/", tmp_path / "folder")
        assert "inos get /t/a/ OUT" in file.left_out[0] and folder.left_out == ()
        link = await mesh.get("/t/c", tmp_path / "c")
        assert (tmp_path / "c").is_symlink() and link.left_out
        await mesh.get(f"/t/{long}", tmp_path / "long")
        await mesh.get("/t/z/", tmp_path / "z")  # what is a file alone may be written like a folder
        for name in ("/t/empty", "/t/zero"):
            with pytest.raises(BadInput, match="no link can point to"):
                await mesh.get(name, tmp_path / "nothing")

    run(work)
    copy = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if "home" not in path.parts}
    assert copy == {
        "copy", "copy/a", "copy/a/b", "copy/c", "copy/c/d", "copy/c/d/e", "copy/z", "a", "folder", "folder/b", "c",
        "long", "z",
    }  # fmt: skip


def test_names_that_are_one_in_a_catalogue_are_found_before_anything_is_sent(run: Any, tmp_path: Path) -> None:
    root = tmp_path / "t"
    (root / "first").mkdir(parents=True)
    (root / "first" / "a").write_bytes(b"a")
    names = [unicodedata.normalize(form, "é.txt") for form in ("NFC", "NFD")]
    for name in names:
        (root / name).write_bytes(name.encode())
    assert len([*root.iterdir()]) == 3

    async def work(mesh: Mesh) -> list[str]:
        with pytest.raises(BadInput, match="differ only in their Unicode form") as error:
            await mesh.put(root)
        assert all(ascii(name) in error.value.message for name in names)
        stored = [item.name async for item in mesh.list()]
        (root / names[1]).rename(root / "other")
        assert (await mesh.put(root)).size == len(b"a") + sum(len(name.encode()) for name in names)
        return stored

    assert run(work) == []


def test_privileges_do_not_come_back(run: Any, service: MemoryService, tmp_path: Path) -> None:
    async def work(mesh: Mesh) -> None:
        await mesh.put(b"x", name="/seed")
        hostile(service, ("/t/file", "file", ""), ("/t/folder", "folder", ""))
        await mesh.get("/t", tmp_path / "copy")

    run(work)
    for name in ("file", "folder"):
        assert stat.S_IMODE((tmp_path / "copy" / name).stat().st_mode) & 0o7000 == 0


@pytest.mark.parametrize("name", ["/t/../x", "/t/a/../../x", "/t/.", "/other", "/tx", "/t/a\0b"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(Corrupt):
        place("/t", [CatalogueItem(name, FILE, 0, 0)])


def test_small_files_travel_together_within_the_limits() -> None:
    sizes = [0] * 3000 + [BATCH_ITEM_MAX] * 40 + [BATCH_ITEM_MAX + 1] + [1] * 5
    entries = [Entry(FILE, f"/{number}", f"/{number}", size, 0, 0) for number, size in enumerate(sizes)]
    units = list(group(entries))
    assert sorted(entry.name for unit in units for entry in unit.entries) == sorted(entry.name for entry in entries)
    for unit in units:
        assert len(unit.entries) <= BATCH_ITEMS_MAX
        assert not unit.is_batch or sum(entry.size for entry in unit.entries) <= BATCH_MAX
    assert len(units) < 10


def test_walking_is_in_order_and_follows_no_link(tree: Path) -> None:
    found = [(entry.name, entry.kind) for entry in walk(tree, "/t")]
    assert found[0] == ("/t", "folder") and ("/t/up", "link") in found
    assert len(found) == len(list(tree.rglob("*"))) + 1
    seen = {"/t"}
    for name, kind in found[1:]:
        assert name.rpartition("/")[0] in seen
        if kind == "folder":
            seen.add(name)
