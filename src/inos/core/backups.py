"""What the command line is told of backups, by the code that works on them without a running node."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the keys to a backup come from: the data root `home`, opened by its passphrase, or a phrase."""

    home: Path
    passphrase: str | None = field(default=None, repr=False)
    phrase: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SnapshotReport:
    """One snapshot of a backup; sizes in bytes. `problem` says why it cannot be read, else it is ""."""

    snapshot: str
    created_ms: int
    node_name: str
    kind: str
    chunks: int
    size: int
    damaged: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """How far a check has come, in bytes of packs. `affected`: snapshots that cannot be restored whole."""

    done: int
    total: int
    snapshots: int = 0
    problems: tuple[str, ...] = ()
    affected: tuple[str, ...] = ()
    finished: bool = False
