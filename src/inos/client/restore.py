"""Getting a folder's tree back onto this machine's disk.

Rules: nothing is written outside the folder the user named, whatever the catalogue holds; links are made last and their
targets are text; folders get their modes and times when everything is in them. A name that can have no place here is
left out and told; the rest comes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio

from inos.client.download import Attributes, Downloads, GetReport
from inos.client.local import NAME_BYTES, PERMISSIONS, current_umask, file_error, in_thread, make_folder, make_link
from inos.client.progress import Part, Progress
from inos.client.tasks import for_each
from inos.client.walk import FILE, FOLDER, LINK
from inos.core.errors import BadInput, Corrupt
from inos.core.object_names import check_link_target
from inos.core.reports import CatalogueItem

# Files under way at once: small ones wait mostly for answers.
PARALLEL: Final = 8


@dataclass(frozen=True, slots=True)
class Placed:
    """A catalogue item and where it goes, as parts below the folder."""

    item: CatalogueItem
    parts: tuple[str, ...]


def place(name: str, items: Iterable[CatalogueItem]) -> list[Placed]:
    """Items at or below `name`, with their places. Raises Corrupt for a name that would lead outside."""
    placed = []
    for item in items:
        if item.name != name and not item.name.startswith(name.rstrip("/") + "/"):
            raise Corrupt(f"the node listed {item.name!r} below {name!r}")
        parts = tuple(part for part in item.name[len(name) :].split("/") if part)
        if any(part in {".", ".."} or "\0" in part or ("\\" in part and os.name == "nt") for part in parts):
            raise Corrupt(f"the catalogue holds {item.name!r}, which names no place on this machine")
        placed.append(Placed(item, parts))
    return placed


def fitting(placed: Sequence[Placed]) -> tuple[list[Placed], tuple[str, ...]]:
    """Those that can be written beside each other; and of the others, why not."""
    folders = {each.parts[:depth] for each in placed for depth in range(len(each.parts))}
    fit, left_out = [], []
    for each in placed:
        problem = _problem(each, folders)
        if problem:
            left_out.append(f"{each.item.name}: {problem}")
        else:
            fit.append(each)
    return fit, tuple(left_out)


def _problem(each: Placed, folders: Set[tuple[str, ...]]) -> str:
    item = each.item
    if item.kind != FOLDER and each.parts in folders:
        return f"a {item.kind}, and a folder as well, which was written; by itself: inos get {item.name} OUT"
    if any(len(os.fsencode(part)) > NAME_BYTES for part in each.parts):
        return f"file names have at most {NAME_BYTES} bytes; under another one: inos get {item.name} OUT"
    if item.kind == LINK:
        try:
            check_link_target(item.target)
        except BadInput as error:
            return error.message
    return ""


class Restores:
    """Writes trees."""

    def __init__(self, downloads: Downloads) -> None:
        self._downloads = downloads

    async def get_tree(self, placed: list[Placed], out: Path, progress: Progress) -> GetReport:
        """Write the items below `out`, over what is there."""
        started_s = anyio.current_time()
        placed, left_out = fitting(placed)
        files = [each for each in placed if each.item.kind == FILE]
        folders = [each for each in placed if each.item.kind == FOLDER]
        links = [each for each in placed if each.item.kind == LINK]
        size = sum(each.item.size for each in files)
        progress.total(size)
        # A folder made after a file below it is found there already; only the names on the way matter.
        parents = {each.parts[:-1] for each in (*files, *links)} | {each.parts for each in folders}
        await in_thread(_make_folders, out, parents)
        taken = frozenset(out.joinpath(*each.parts) for each in placed)
        resumed = await self._get_files(files, out, progress, taken)
        await in_thread(_finish, out, links, folders)
        seconds = anyio.current_time() - started_s
        return GetReport(str(out), size, len(files), len(folders), len(links), resumed, seconds, left_out)

    async def _get_files(self, files: list[Placed], out: Path, progress: Progress, taken: frozenset[Path]) -> int:
        resumed: list[int] = []

        async def get_one(each: Placed) -> None:
            item, path = each.item, out.joinpath(*each.parts)
            attributes = Attributes(item.mode, item.modified_ms)
            report = await self._downloads.get_file(item.ref, path, Part(progress), attributes, taken)
            resumed.append(report.resumed_bytes)

        await for_each(files, get_one, PARALLEL)
        return sum(resumed)


def _make_folders(out: Path, parents: set[tuple[str, ...]]) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise file_error(out, error, "write") from None
    for parts in sorted(parents):
        make_folder(out, parts)


def _finish(out: Path, links: list[Placed], folders: list[Placed]) -> None:
    for each in links:
        make_link(make_folder(out, each.parts[:-1]) / each.parts[-1], each.item.target)
    mask = current_umask()
    for each in sorted(folders, key=lambda placed: placed.parts, reverse=True):
        folder = out.joinpath(*each.parts)
        if stat.S_ISDIR(folder.lstat().st_mode):
            folder.chmod(each.item.mode & PERMISSIONS & ~mask)
            os.utime(folder, ns=(each.item.modified_ms * 1_000_000,) * 2)
