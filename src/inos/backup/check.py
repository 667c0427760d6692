"""Proving that a backup would restore: every file read, every snapshot's needs looked up, every database opened."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

from inos.backup.entries import Entry
from inos.backup.lists import ids_in
from inos.backup.messages import Proven, prove_messages
from inos.backup.repository import Repository
from inos.backup.restore import build_database, part_ids
from inos.backup.snapshot import Part, Snapshot
from inos.backup.trees import entries_of
from inos.core.backups import CheckReport
from inos.core.env import Env
from inos.core.errors import Corrupt, NewerFormat, NotFound
from inos.store.database import Database


@dataclass(slots=True)
class Checker:
    """One check of an open repository. `percent` of the packs are read whole; lists and databases always are."""

    repository: Repository
    database_key: bytes
    env: Env
    percent: float = 100.0
    _problems: list[str] = field(default_factory=list)
    _broken: set[str] = field(default_factory=set)
    _proven: Proven = field(default_factory=set)
    _done: int = 0

    def steps(self) -> Generator[CheckReport, None, None]:
        """Each step says how far it is; the last is `finished`."""
        self._problems += self.repository.problems
        packs = [name for name in self.repository.pack_names() if self._chosen(self.env.random)]
        total = sum(self.repository.pack_size(name) for name in packs)
        for name in packs:
            self._attempt(name)
            self._done += self.repository.pack_size(name)
            yield CheckReport(self._done, total)
        affected, checked = [], 0
        for name, snapshot in self.repository.snapshots():
            checked += 1
            if isinstance(snapshot, Corrupt):
                self._problems.append(snapshot.message)
                affected.append(name)
            elif problem := self._snapshot_problem(snapshot):
                self._problems.append(f"snapshot {name[:12]}: {problem}")
                affected.append(name)
            yield CheckReport(self._done, total)
        yield CheckReport(self._done, total, checked, tuple(self._problems), tuple(affected), finished=True)

    def _chosen(self, chance: random.Random) -> bool:
        return chance.uniform(0, 100) < self.percent or self.percent >= 100

    def _attempt(self, pack: str) -> None:
        try:
            self.repository.check_pack(pack)
        except (Corrupt, NotFound) as error:
            self._broken.add(pack)
            self._problems.append(error.message)

    def _snapshot_problem(self, snapshot: Snapshot) -> str:
        """What keeps a snapshot from being restored, "" for nothing."""
        try:
            for part in (snapshot.database, snapshot.chunks):
                self._look_up(part)
            self._open_database(snapshot)
            for part in snapshot.files:
                for entry in entries_of(self.repository, part):
                    self._look_up_file(entry)
            if snapshot.messages is not None:
                prove_messages(self.repository, snapshot.messages, self.database_key, self.env, self._proven)
        except (Corrupt, NotFound, NewerFormat) as error:
            return error.message
        return ""

    def _look_up(self, part: Part) -> None:
        for piece in part_ids(self.repository, part):
            self._find(piece)

    def _look_up_file(self, entry: Entry) -> None:
        for each in entry.lists:
            for piece in ids_in(self.repository.block(each)):
                self._find(piece)

    def _find(self, piece: bytes) -> None:
        spot = self.repository.spot(piece)
        if spot is None:
            raise Corrupt("a piece is missing: its pack, or the index that names it")
        if spot.pack.hex() in self._broken:
            raise Corrupt(f"needs the damaged pack {spot.pack.hex()}")

    def _open_database(self, snapshot: Snapshot) -> None:
        with tempfile.TemporaryDirectory(prefix="inos-check-") as folder:
            path = Path(folder) / "inos.db"
            for _ in build_database(self.repository, snapshot, path):
                pass
            database = Database(path, self.database_key, self.env)
            try:
                if found := database.check():
                    raise Corrupt(f"its database is damaged: {found[0]}")
            finally:
                database.close()
