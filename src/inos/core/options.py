"""What the command line asks of a node that is not running yet: the arguments of `inos.node.run`.

`passphrase` None means that the data root relies on file permissions alone (its `keyfile`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

DEFAULT_REPAIR_AFTER_S = (
    30.0  # long enough for a reboot of a service, short beside the time a second node takes to fail
)
DEFAULT_REMOVE_DELAY_S = 3600.0  # an hour to notice a mistaken rm, and for slow readers to finish

Compression = Literal["lz4", "zstd", "none"]
"""How what is put is packed before it is sealed; whatever it was packed with, it is read."""
COMPRESSIONS: Final[tuple[Compression, ...]] = get_args(Compression)


@dataclass(frozen=True, slots=True)
class InitOptions:
    """A new data root. `phrase` None makes a new owner; else it restores the owner of that phrase."""

    home: Path
    phrase: str | None = field(default=None, repr=False)
    passphrase: str | None = field(default=None, repr=False)
    name: str = ""


@dataclass(frozen=True, slots=True)
class InitReport:
    """A data root made. `phrase` is shown once and kept nowhere else; empty when the caller supplied it."""

    home: str
    owner: str
    peer: str
    node_name: str
    phrase: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """A database made sound again. `base` is what it began as: "database" (it was sound), "spare" or "nothing"; `lost`
    the name the old one has now, or "". `records`, `chunks` and `rows` of repositories were read from it; chunk files
    were `adopted` (given a row) or `deleted` (damaged), rows of chunks `dropped` (no file). `mesh`: whether the node
    still knows its mesh."""

    home: str
    base: str
    lost: str
    records: int
    chunks: int
    adopted: int
    deleted: int
    dropped: int
    mesh: bool
    rows: int = 0


@dataclass(frozen=True, slots=True)
class UpOptions:
    """A node in the foreground. Empty strings and tuples mean: choose (see docs/cli.md, `inos up`)."""

    home: Path
    passphrase: str | None = field(default=None, repr=False)
    listen: tuple[str, ...] = ()
    announce: tuple[str, ...] = ()
    api: str = "127.0.0.1:0"
    profile: str = "heavy"
    region: str = ""
    name: str = ""
    repair_after_s: float = DEFAULT_REPAIR_AFTER_S
    remove_delay_s: float = DEFAULT_REMOVE_DELAY_S
    quota_hot_bytes: int | None = None
    quota_cold_bytes: int | None = None
    compression: Compression = "lz4"
    join: str = field(default="", repr=False)
    hub: Literal["none", "hub", "standby"] = "none"
    json: bool = False
    until_stdin_ends: bool = False
