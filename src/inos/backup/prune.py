"""Freeing what no snapshot needs, in an order that may end anywhere.

    snapshots removed -> pieces still needed copied out of packs that are mostly waste -> indexes without what goes
    -> old indexes removed -> packs removed

Before each arrow all that a kept snapshot needs is named by an index that is there, and lies in a pack that is there.
What a run that was cut off leaves is garbage that the next one finds: packs that no index names, pieces that are there
twice.
Nothing is removed that cannot be judged: a damaged index or list may name anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass
from typing import Final

from inos.backup.entries import entries_in
from inos.backup.index import MAX_ENTRIES
from inos.backup.lists import ids_in
from inos.backup.packs import Spot
from inos.backup.repository import SNAPSHOTS, Repository, pack_path
from inos.backup.sealing import HEAD_BYTES
from inos.backup.snapshot import Snapshot
from inos.core.errors import Conflict, Corrupt

# A pack is written anew when less of it than this is needed: more would copy much for little.
_WORTH: Final = 0.75
_REFUSED_HINT: Final = "see: inos backup check; nothing was freed"


@dataclass(frozen=True, slots=True)
class Freed:
    """How far a prune has come, in bytes of pieces to copy; what it freed, or would free, and wrote for that."""

    done: int
    total: int
    packs: int = 0
    freed: int = 0
    problems: tuple[str, ...] = ()


class Pruner:
    """One run over an open repository that nobody else uses. `kept`: every snapshot that is to stay; `gone`: the ids of
    those that are to go."""

    def __init__(self, repository: Repository, kept: Collection[Snapshot], gone: Collection[str]) -> None:
        """Raises Conflict or Corrupt when it cannot tell what is needed."""
        self._repository = repository
        self._gone = gone
        self._marks: dict[str, bytearray] = {}
        self._lists: set[bytes] = set()
        self._problems: list[str] = []
        if repository.problems:
            raise Conflict(f"an index of this backup is damaged: {repository.problems[0]}", hint=_REFUSED_HINT)
        self._packs = {name: repository.pack_size(name) for name in repository.pack_names()}
        self._tables = [name for name, _ in repository.indexes()]
        for snapshot in kept:
            self._mark_snapshot(snapshot)
        used: Counter[str] = Counter()
        for _, spot in self._marked():
            used[spot.pack.hex()] += spot.size
        self._copied_out = {
            name: used[name] for name, size in self._packs.items() if 0 < used[name] < (size - HEAD_BYTES) * _WORTH
        }
        self._unused = [name for name in self._packs if not used[name]]

    def estimate(self) -> Freed:
        """What a run would free."""
        total = sum(self._copied_out.values())
        return Freed(0, total, len(self._unused) + len(self._copied_out), self._size_of(self._going()) - total)

    def steps(self) -> Generator[Freed, None, None]:
        """Frees it; the last step says what was."""
        repository, total = self._repository, sum(self._copied_out.values())
        repository.place.remove([f"{SNAPSHOTS}/{name}" for name in sorted(self._gone)])
        sent_before, done = repository.sent_bytes, 0
        for piece, spot in self._marked():
            if spot.pack.hex() in self._copied_out:
                self._copy(piece, spot)
                done += spot.size
                yield Freed(min(done, total), total)
        repository.flush()
        going = frozenset(self._going())
        old = self._renew_indexes(going)
        written = repository.sent_bytes - sent_before
        repository.place.remove(old)
        for name in sorted(going):
            repository.place.remove([pack_path(name)])
            yield Freed(done, total)
        yield Freed(done, total, len(going), self._size_of(going) - written, tuple(self._problems))

    def _going(self) -> list[str]:
        return [*self._unused, *self._copied_out]

    def _size_of(self, packs: Collection[str]) -> int:
        return sum(self._packs[name] for name in packs)

    # What is needed

    def _mark_snapshot(self, snapshot: Snapshot) -> None:
        for part in (snapshot.database, snapshot.chunks):
            for each in part.lists:
                self._mark_list(each)
        for each in (each for part in snapshot.files for each in part.lists):
            if self._mark(each):
                for entry in entries_in(self._repository.block(each)):
                    for inner in entry.lists:
                        self._mark_list(inner)

    def _mark_list(self, each: bytes) -> None:
        """Lists that snapshots share are read once. Without one that is missing or damaged nothing is freed: the next
        backup may bring it back, and then what it names must be there."""
        if each not in self._lists:
            self._lists.add(each)
            self._mark(each)
            for piece in ids_in(self._repository.block(each)):
                self._mark(piece)

    def _mark(self, piece: bytes) -> bool:
        """Whether the piece is there; it stays."""
        found = self._repository.entry(piece)
        if found is None:
            return False
        name, number, _ = found
        marks = self._marks.get(name)
        if marks is None:
            marks = self._marks[name] = bytearray(MAX_ENTRIES)
        marks[number] = 1
        return True

    def _marked(self) -> Iterator[tuple[bytes, Spot]]:
        for name, table in self._repository.indexes():
            if marks := self._marks.get(name):
                yield from (entry for mark, entry in zip(marks, table.items(), strict=False) if mark)

    # What changes

    def _copy(self, piece: bytes, spot: Spot) -> None:
        try:
            self._repository.add_again(piece, self._repository.piece(piece))
        except Corrupt as error:
            self._problems.append(error.message)
            self._copied_out.pop(spot.pack.hex(), None)  # it stays as it is: what is good of it is needed

    def _renew_indexes(self, going: frozenset[str]) -> list[str]:
        """Write indexes of what stays where it is; those that they replace."""
        old: list[str] = []
        staying: dict[bytes, Spot] = {}
        for name, table in list(self._repository.indexes()):
            if name not in self._tables:
                continue
            marks = self._marks.get(name, b"")
            if sum(marks) == len(table) and not going.intersection(pack.hex() for pack in table.packs):
                continue
            old.append(name)
            for number, (piece, spot) in enumerate(table.items()):
                if marks and marks[number] and spot.pack.hex() not in going:
                    staying[piece] = spot
                    if len(staying) == MAX_ENTRIES:
                        self._repository.write_index(staying)
                        staying.clear()
        if staying:
            self._repository.write_index(staying)
        return old
