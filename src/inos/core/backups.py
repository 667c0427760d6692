"""What the command line is told of backups, by the code that works on them without a running node."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from inos.core.reports import BackupReport

# Why a snapshot stays that is dated after the clock of whoever prunes.
FUTURE: Final = "future"
# The folder of a data root in which a backup to the mesh is made.
SPOOL: Final = "backup"


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the keys to a backup come from: the data root `home`, opened by its passphrase, or a phrase."""

    home: Path
    passphrase: str | None = field(default=None, repr=False)
    phrase: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SnapshotReport:
    """One snapshot of a backup; sizes in bytes. `problem` says why it cannot be read, else it is "". `whole`: messages
    and settings are in it, which earlier releases left out."""

    snapshot: str
    created_ms: int
    node_name: str
    kind: str
    chunks: int
    size: int
    damaged: int
    problem: str = ""
    whole: bool = True


@dataclass(frozen=True, slots=True)
class RestoreReport(BackupReport):
    """A restore that is finished, and which node the data root is now."""

    node_name: str = ""
    peer: str = ""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """How far a check has come, in bytes of packs. `affected`: snapshots that cannot be restored whole."""

    done: int
    total: int
    snapshots: int = 0
    problems: tuple[str, ...] = ()
    affected: tuple[str, ...] = ()
    finished: bool = False


@dataclass(frozen=True, slots=True)
class KeepRules:
    """How many snapshots of each node to keep: the last ones, and the last one of each of so many days, weeks, months
    and years. All 0: every snapshot."""

    last: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0

    @property
    def any(self) -> bool:
        """Whether there is a rule at all."""
        return self != KeepRules()


@dataclass(frozen=True, slots=True)
class KeptSnapshot:
    """A snapshot and why it stays: the rules that keep it, comma between them, or FUTURE; "" when it goes."""

    snapshot: str
    created_ms: int
    node_name: str
    kept: str


@dataclass(frozen=True, slots=True)
class PruneReport:
    """How far a prune has come, in bytes of pieces to copy; the last report is `finished` and says what stays and what
    went, and how many packs and bytes that freed (or would free, of a `dry_run`)."""

    done: int
    total: int
    snapshots: tuple[KeptSnapshot, ...] = ()
    packs: int = 0
    freed: int = 0
    problems: tuple[str, ...] = ()
    dry_run: bool = False
    finished: bool = False
