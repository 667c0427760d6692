"""Hostile and damaged packages: refused, and nothing outside the folder is touched."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from component_packages import packed, zipped
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.components import package
from inos.components.package import MAX_DEPTH, MAX_FILES, Names, unpack
from inos.core.errors import BadInput

MIB = 1 << 20


def unpacked(data: bytes, folder: Path) -> dict[str, bytes]:
    target = folder / "target"
    target.mkdir()
    unpack(io.BytesIO(data), target)
    found = {p.relative_to(target).as_posix(): p.read_bytes() for p in target.rglob("*") if p.is_file()}
    assert all(p.stat().st_mode & 0o077 == 0 for p in target.rglob("*"))
    return found


@pytest.mark.parametrize("pack", [packed, zipped])
def test_files_come_out_as_they_went_in(pack: Any, tmp_path: Path) -> None:
    files = {"a": b"x", "b/c/d.py": os.urandom(3 * MIB), "b/e": b"", "ü ö": b"1"}
    assert unpacked(pack(files), tmp_path) == files


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/x",
        "a/../../x",
        "a//b",
        "./../x",
        "a\\..\\x",
        "C:\\x",
        "a/./b",
        "x\x1b",
        "/".join("a" * (MAX_DEPTH + 1)),
        "n" * 256,
    ],
)
@pytest.mark.parametrize("pack", [packed, zipped])
def test_names_that_lead_out(name: str, pack: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        unpacked(pack({"ok": b"1", name: b"2"}), tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"target"} and not Path("/etc/x").exists()


@pytest.mark.parametrize("names", [("a", "a"), ("a", "A"), ("a", "a/b"), ("a/b", "a"), ("é", "é")])
def test_names_that_collide(names: tuple[str, str], tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(BadInput, match="two files"):
        unpacked(out.getvalue(), tmp_path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_what_is_no_ordinary_file_in_a_tar(kind: bytes, tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(BadInput, match="no ordinary file"):
        unpacked(out.getvalue(), tmp_path)


def test_a_link_in_a_zip(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(BadInput, match="no ordinary file"):
        unpacked(out.getvalue(), tmp_path)


class Zeros(io.RawIOBase):
    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int = -1) -> bytes:
        taken = min(self.left, size if size >= 0 else self.left, MIB)
        self.left -= taken
        return bytes(taken)


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "MAX_FILE_BYTES", 4 * MIB)
    monkeypatch.setattr(package, "MAX_UNPACKED_BYTES", 8 * MIB)
    for number, sizes in enumerate([(5,), (3, 3, 3)]):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            for at, size in enumerate(sizes):
                info = tarfile.TarInfo(f"{at}")
                info.size = size * MIB
                tar.addfile(info, Zeros(size * MIB))
        (tmp_path / f"{number}").mkdir()
        with pytest.raises(BadInput):
            unpacked(out.getvalue(), tmp_path / f"{number}")
        written = sum(path.stat().st_size for path in (tmp_path / f"{number}").rglob("*") if path.is_file())
        assert written <= 8 * MIB
    (tmp_path / "zip").mkdir()
    with pytest.raises(BadInput, match="too large"):
        unpacked(zipped({"a": bytes(5 * MIB)}), tmp_path / "zip")


def test_a_header_that_announces_a_name_of_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "MAX_UNPACKED_BYTES", MIB)
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 1 << 32
    with pytest.raises(BadInput):
        unpacked(gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + bytes(16 * MIB)), tmp_path)


def test_too_many_files(tmp_path: Path) -> None:
    names = Names()
    for number in range(MAX_FILES):
        names.take(str(number))
    with pytest.raises(BadInput, match="more than"):
        names.take("one more")
    with pytest.raises(BadInput, match="more than"):
        unpacked(zipped({str(number).zfill(200): b"" for number in range(2 * MAX_FILES * 4)}), tmp_path)


@pytest.mark.parametrize(
    "data", [b"", b"x", b"PK\x03\x04", b"\x1f\x8b", gzip.compress(b"x" * 2000, mtime=0), b"PK\x03\x04" + bytes(100)]
)
def test_what_is_no_package(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        unpacked(data, tmp_path)


SAMPLES = [packed({"a/b.py": b"x" * 3000, "c": b"1"}), zipped({"a/b.py": b"x" * 3000, "c": b"1"})]


@pytest.mark.parametrize("sample", SAMPLES, ids=["tar", "zip"])
def test_cut_off(sample: bytes, tmp_path: Path) -> None:
    for end in range(0, len(sample) - 20, 7):
        folder = tmp_path / str(end)
        folder.mkdir()
        with pytest.raises(BadInput):
            unpacked(sample[:end], folder)


@given(st.sampled_from(SAMPLES), st.integers(0, 10_000), st.binary(min_size=1, max_size=8))
@settings(max_examples=300)
def test_damaged(sample: bytes, at: int, new: bytes) -> None:
    at %= len(sample)
    out: dict[str, bytes] = {}
    try:
        package.parse_package(sample[:at] + new + sample[at + len(new) :], out.__setitem__)
    except BadInput as error:
        assert len(error.message) < 600
    assert all(".." not in name.split("/") and not name.startswith("/") for name in out)
