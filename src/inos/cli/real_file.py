"""A real file for whoever has none at hand: the running Python's standard library as one tar.

Rules: the same library gives the same bytes; nothing is invented, padded or random.
"""

from __future__ import annotations

import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# More than this is asked of a demonstration. A distribution that ships a small library is topped up from site-packages.
ENOUGH_BYTES: Final = 50_000_000
# Other people's packages, what Python writes itself and differs between runs, and C build leftovers.
_LEFT_OUT: Final = ("site-packages", "dist-packages", "__pycache__", "config-")


def write_library_tar(path: Path) -> int:
    """Write the tar; its size in bytes."""
    folders = [Path(sysconfig.get_path(place)) for place in ("stdlib", "platstdlib", "purelib")]
    with path.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder in dict.fromkeys(folder.resolve() for folder in folders):
            if file.tell() < ENOUGH_BYTES:
                _add_folder(tar, folder)
    return path.stat().st_size


def _add_folder(tar: tarfile.TarFile, folder: Path) -> None:
    for member in _files(folder):
        info = tar.gettarinfo(member, f"{folder.name}/{member.relative_to(folder).as_posix()}")
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        info.mtime = int(info.mtime)
        with member.open("rb") as content:
            tar.addfile(info, content)


def _files(folder: Path) -> Iterator[Path]:
    """Regular files, in the order of their names."""
    for child in sorted(folder.iterdir(), key=lambda path: path.name):
        if child.name.startswith(_LEFT_OUT) or child.is_symlink():
            continue
        if child.is_dir():
            yield from _files(child)
        elif child.is_file():
            yield child
