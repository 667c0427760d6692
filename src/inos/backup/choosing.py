"""Which snapshot of a backup is restored. Pure.

Nodes of one owner may share a place, and a snapshot brings its node's identity along. So without a word of the user
about it, only the snapshots of the node that is there already count; where none is, those of the only node in the
place. Nor is one taken unasked that is dated after the clock: whether it is the last one, nobody knows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Final

from inos.backup.snapshot import Snapshot
from inos.core.errors import BadInput, Conflict, Corrupt, InosError, NewerFormat, NotFound
from inos.core.ids import PeerId
from inos.store.node_file import decoded

ID_DIGITS: Final = 8
"""Of an id there must be so many digits: fewer would be taken for a year."""
_PEER_CHARACTERS: Final = 8
_SHOWN: Final = 12
# Clocks of two machines that are set at all differ by less.
_SKEW_MS: Final = 300_000
_LIST: Final = "see which there are: inos backup list SRC"

Found = Mapping[str, Snapshot | Corrupt]


def peer_of(snapshot: Snapshot) -> str:
    """The peer id of the node of a snapshot, "" when it does not say."""
    with suppress(Corrupt, NewerFormat):
        return str(PeerId.from_public_key(decoded(snapshot.node_file.encode(), "the snapshot").public_key))
    return ""


def chosen(found: Found, at: str, node: str, here: str, now_ms: int) -> tuple[str, Snapshot]:
    """The snapshot to put in the place of a data root: the one whose id begins with `at`; else the last one, or the
    last at the time `at`, of the node `node` (its name, or the end of its peer id), or else of the one with the peer
    id `here`. Raises NotFound, BadInput, Corrupt when what might have been it cannot be read, Conflict when it may be
    one of several nodes, or is dated after `now_ms`."""
    good = _good(found, node)
    if by_id := _by_id(found, good, at):
        return by_id
    good = _until(found, good, at)
    if here and not node:
        own = {name: snapshot for name, snapshot in good.items() if peer_of(snapshot) == here}
        if not own:
            hint = "to become that node: --node NAME, or --at ID; see: inos backup list SRC"
            raise _missing(f"of this node, only of {_shown(good.values())}", found, hint)
        good = own
    if len({peer_of(snapshot) for snapshot in good.values()}) > 1:
        raise Conflict(
            f"the backup is of several nodes: {_shown(good.values())}",
            hint="say which: --node NAME, or --at ID; see: inos backup list SRC",
        )
    return _last(good, at, now_ms)


def chosen_to_read(found: Found, at: str, node: str, here: str, now_ms: int) -> tuple[str, Snapshot]:
    """As `chosen`, for one object: without a snapshot of the node `here`, or with no node there, the last of any."""
    good = _good(found, node)
    if by_id := _by_id(found, good, at):
        return by_id
    good = _until(found, good, at)
    own = {name: snapshot for name, snapshot in good.items() if not node and peer_of(snapshot) == here}
    return _last(own or good, at, now_ms)


def _good(found: Found, node: str) -> dict[str, Snapshot]:
    """Those that can be read, of the node named."""
    good = {name: snapshot for name, snapshot in found.items() if isinstance(snapshot, Snapshot)}
    if not good:
        raise _missing("", found, _LIST)
    if not node:
        return good
    peers = {
        peer_of(snapshot)
        for snapshot in good.values()
        if snapshot.node_name == node or (len(node) >= _PEER_CHARACTERS and peer_of(snapshot).endswith(node))
    }
    named = {name: snapshot for name, snapshot in good.items() if peer_of(snapshot) in peers}
    if not named:
        hint = f"give its name, or the last {_PEER_CHARACTERS} characters or more of its peer id"
        raise _missing(f"of a node {node!r}, only of {_shown(good.values())}", found, hint)
    if len(peers) > 1:
        raise Conflict(
            f"several nodes have the name {node!r}: {_shown(named.values())}",
            hint=f"give the last {_PEER_CHARACTERS} characters or more of its peer id instead",
        )
    return named


def _by_id(found: Found, good: Mapping[str, Snapshot], at: str) -> tuple[str, Snapshot] | None:
    if len(at) < ID_DIGITS:
        return None
    for name, snapshot in good.items():
        if name.startswith(at):
            return name, snapshot
    for name, each in found.items():
        if name.startswith(at) and isinstance(each, Corrupt):
            raise each
    return None


def _until(found: Found, good: dict[str, Snapshot], at: str) -> dict[str, Snapshot]:
    if not at:
        return good
    until_ms = _time_ms(at)
    early = {name: snapshot for name, snapshot in good.items() if snapshot.created_ms <= until_ms}
    if not early:
        raise _missing("of that time", found, _LIST)
    return early


def _last(good: Mapping[str, Snapshot], at: str, now_ms: int) -> tuple[str, Snapshot]:
    name, snapshot = max(good.items(), key=lambda each: (each[1].created_ms, each[0]))
    if not at and snapshot.created_ms > now_ms + _SKEW_MS:
        raise Conflict(
            f"snapshot {name[:_SHOWN]} is dated after this machine's clock: one of the two clocks is wrong, so which "
            "snapshot is the last is not certain",
            hint=f"say which: --at {name[:_SHOWN]}, or another one; see: inos backup list SRC",
        )
    return name, snapshot


def _shown(snapshots: Collection[Snapshot]) -> str:
    """The nodes for a person: the last name of each, and the end of its peer id."""
    ordered = sorted(snapshots, key=lambda snapshot: snapshot.created_ms)
    nodes = {peer_of(snapshot): snapshot.node_name or "-" for snapshot in ordered}
    return ", ".join(sorted(f"{name} (…{peer[-_SHOWN:]})" for peer, name in nodes.items()))


def _missing(what: str, found: Found, hint: str) -> InosError:
    """That there is no such snapshot - or none that can be read, which is another thing to be told."""
    damaged = [each for each in found.values() if isinstance(each, Corrupt)]
    if not damaged:
        return NotFound(f"the backup has no such snapshot {what}".rstrip(), hint=hint)
    how_many = f"{len(damaged)} of {len(found)}"
    said = f"the backup has no snapshot {what} ".rstrip()
    return Corrupt(
        f"{said} that can be read: {how_many} are damaged ({damaged[0].message})",
        hint="see: inos backup check SRC; a damaged file may be got back from a copy of the backup",
    )


def _time_ms(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError):
        hint = "write 2026-01-31, 2026-01-31T18:00, or the first 8 digits of a snapshot's id"
        raise BadInput(f"not a time, nor a snapshot of this backup: {text!r}", hint=hint) from None
