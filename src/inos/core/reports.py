"""What a node answers its user: plain value types shared by the node, the HTTP API, the client library and the CLI.

The JSON of the API and of `--json` is these fields, in this order. Fields are only ever added, never renamed or given
another meaning: scripts read them. Sizes are bytes, `_s` seconds, `_ms` milliseconds, ages None when it never happened.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from inos.core.errors import BadFrame

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class PutOptions:
    """How to store one stream. `require` is "" (reach what can be reached), "local", "quorum", "replicated" or a number
    of nodes that must hold it; less than that is NotEnoughNodes."""

    name: str | None = None
    size: int | None = None
    mode: int = 0o644
    modified_ms: int = 0
    require: str = ""


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One small file of a batch: at most BATCH_ITEM_MAX bytes (core/batch.py)."""

    name: str
    mode: int
    modified_ms: int
    data: bytes


@dataclass(frozen=True, slots=True)
class PutReport:
    """One object stored. `survives`: nodes that may be lost now; `wanted_survives`: once repair has completed it.
    `sha256`, in hexadecimal, is that of its content."""

    ref: str
    cid: str
    name: str
    size: int
    survives: int
    level: str
    members: int
    wanted_survives: int
    stored_bytes: int
    seconds: float
    sha256: str = ""

    def __str__(self) -> str:
        return self.ref


@dataclass(frozen=True, slots=True)
class TreeReport:
    """A folder stored: totals over its entries, the weakest durability among them, and what was left out and why."""

    ref: str
    cid: str
    name: str
    size: int
    survives: int
    level: str
    wanted_survives: int
    stored_bytes: int
    seconds: float
    files: int
    folders: int
    links: int
    skipped: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.ref


@dataclass(frozen=True, slots=True)
class CatalogueItem:
    """One name in the owner's catalogue. `kind` is "file", "folder" or "link"; `target` is set for links only, `sha256`
    (hexadecimal) where names were asked for by it."""

    name: str
    kind: str
    size: int
    modified_ms: int
    ref: str = ""
    cid: str = ""
    mode: int = 0
    target: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class CataloguePage:
    """Names in order. `next` goes into the following call's `after`; empty at the end."""

    items: tuple[CatalogueItem, ...]
    next: str = ""


@dataclass(frozen=True, slots=True)
class MemberShare:
    """One node's part of an object: pieces it should hold and pieces it is known to hold."""

    peer: str
    node_name: str
    alive: bool
    assigned: int
    held: int


@dataclass(frozen=True, slots=True)
class StatReport:
    """One object, and how well it is kept. `scheme` is for people: "5 copies" or "3+2". `sha256` (hexadecimal) is that
    of its content, empty where it has no name, or got it from a release that computed none."""

    name: str
    ref: str
    cid: str
    size: int
    stored_size: int
    chunks: int
    scheme: str
    members: tuple[MemberShare, ...]
    pieces: int
    pieces_alive: int
    survives: int
    level: str
    wanted_survives: int
    under_replicated: bool
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class PinReport:
    """What was pinned to the node, or let go: the objects meant, and how many of them that changed."""

    target: str
    pinned: bool
    objects: int
    changed: int


@dataclass(frozen=True, slots=True)
class RemoveReport:
    """Names removed from the catalogue; holders free the space after `freed_after_s`. `below`: names that stay below
    the one removed, which was a file or a link as well as their folder."""

    names: tuple[str, ...]
    removed: int
    freed_after_s: float
    below: int = 0


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """One background activity. `phase` is waiting, running, failing or stopped."""

    name: str
    phase: str
    runs: int
    failures: int
    last_success_age_s: float | None
    last_error: str = ""
    detail: dict[str, int | float | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TierReport:
    """What one tier takes up on the disk: `name` is hot (the database and its log) or cold (chunk files).
    `surplus_bytes` of it are kept though they could go. `state` is ok, pressed (90 % of the quota) or full, which it
    was `hits` times."""

    name: str
    used_bytes: int
    quota_bytes: int
    surplus_bytes: int
    state: str
    hits: int


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """An agent's cache on this node: `pending` messages have not reached the hub, the oldest for `lag_s`."""

    agent: str
    used_bytes: int
    pending: int
    lag_s: float


@dataclass(frozen=True, slots=True)
class MessageStatus:
    """What this node has to do with messages. `sync_failures` counts batches of its caches that did not reach the hub;
    `bytes_per_s` is how fast the corpus grows where it is the hub."""

    role: str = "none"
    sync_failures: int = 0
    bytes_per_s: float = 0.0
    caches: tuple[CacheStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class StatusReport:
    """The node, its mesh and its workers. `repair`, `refused` and `reads` are counters by name."""

    node_name: str
    peer: str
    owner: str
    mesh: str
    version: str
    uptime_s: float
    listen: tuple[str, ...]
    api: str
    profile: str
    region: str
    members: int
    alive: int
    objects: int
    stored_bytes: int
    chunks: int
    quota_bytes: int
    free_bytes: int
    workers: tuple[WorkerReport, ...]
    repair: dict[str, int | float | str] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    tiers: tuple[TierReport, ...] = ()
    reads: dict[str, int] = field(default_factory=dict)
    messages: MessageStatus = field(default_factory=MessageStatus)


@dataclass(frozen=True, slots=True)
class PeerReport:
    """One member as this node sees it. `state` is alive, failed or unknown, since `since_s` seconds."""

    peer: str
    node_name: str
    owner: str
    state: str
    since_s: float
    addresses: tuple[str, ...]
    region: str
    profile: str
    latency_ms: float | None
    availability: float
    storage_bytes: int


@dataclass(frozen=True, slots=True)
class TicketReport:
    """An invitation. `expires_at` is in seconds since 1970. `founder_only`: this node may not invite, so the ticket
    lets
    nobody in but the founder of the mesh."""

    ticket: str
    expires_at: float
    single_use: bool
    founder_only: bool = False


@dataclass(frozen=True, slots=True)
class JoinReport:
    mesh: str
    peers: int


@dataclass(frozen=True, slots=True)
class RevokeReport:
    peer: str
    node_name: str


@dataclass(frozen=True, slots=True)
class VerifyPlan:
    """Which share of a node's chunks to check, part `part` of `parts`, told by their addresses; and how fast, in
    bytes a second (0: as fast as it goes)."""

    part: int = 1
    parts: int = 1
    rate_bytes_s: int = 0


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """How far a check has come; the last one of a run is `finished`. `problem` names what this step found, or is ""."""

    checked: int
    total: int
    corrupt: int
    healed: int
    missing: int
    finished: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class BackupReport:
    """How far a backup or a restore has come, in bytes; the last one of a run is `finished` and names the `snapshot`.
    `sent`: bytes written so far. `damaged`: chunks, files and folders that could not be read and are not in it.
    `left_out`: how much of components, messages and settings is not in it, these and what no backup keeps (sockets,
    pipes); `left_out_names`: the first of it, with the reason. `messages`: databases of messages, `config`: files of
    settings that are in it."""

    done: int
    total: int
    sent: int
    damaged: int = 0
    snapshot: str = ""
    finished: bool = False
    left_out: int = 0
    left_out_names: tuple[str, ...] = ()
    messages: int = 0
    config: int = 0


def to_dict(report: Any) -> dict[str, Any]:
    """A report as the plain dict that goes out as JSON."""
    return dataclasses.asdict(report)


def from_dict(kind: type[R], data: Any) -> R:
    """The report of `kind` in a decoded JSON value; unknown fields (a newer node) are ignored. Raises BadFrame."""
    built = _build(kind, data, kind.__name__)
    assert isinstance(built, kind)
    return built


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _build(kind: Any, data: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _build_report(kind, data, where)
    if typing.get_origin(kind) is tuple:
        if not isinstance(data, list):
            raise BadFrame(f"{where}: expected a list")
        return tuple(_build(typing.get_args(kind)[0], item, where) for item in data)
    if typing.get_origin(kind) is typing.Literal:
        if data not in typing.get_args(kind):
            raise BadFrame(f"{where}: unexpected {str(data)[:80]!r}")
        return data
    allowed = tuple(typing.get_origin(option) or option for option in typing.get_args(kind) or (kind,))
    if typing.get_origin(kind) is dict:
        allowed = (dict,)
    if not isinstance(data, (*allowed, int) if float in allowed else allowed):
        raise BadFrame(f"{where}: unexpected {type(data).__name__}")
    return data


def _build_report(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise BadFrame(f"{where}: expected an object")
    hints = _hints(kind)
    values = {name: _build(hint, data[name], f"{where}.{name}") for name, hint in hints.items() if name in data}
    try:
        return kind(**values)
    except TypeError:
        missing = sorted(set(hints) - set(values))
        raise BadFrame(
            f"{where}: {', '.join(missing)} missing", hint="the node answers in a format this client does not know"
        ) from None
