"""Which snapshot a restore takes, and what it says when it can take none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from inos.backup.choosing import Found, chosen, chosen_to_read, peer_of
from inos.backup.snapshot import Part, Snapshot
from inos.core.errors import Conflict, Corrupt, NotFound
from inos.crypto.derive import Keyring
from inos.crypto.phrase import master_from_phrase
from inos.store.node_file import NodeRecord

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
KEYRING = Keyring(master_from_phrase("abandon " * 23 + "art"))
DAMAGED = Corrupt("snapshots/dd is damaged")
Choose = Callable[[Found, str, str, str, int], tuple[str, Snapshot]]


def snapshot(node: int, created_ms: int) -> Snapshot:
    part = Part(0, 0, 0, ())
    node_file = NodeRecord.of(KEYRING, bytes([node]) * 16).encode().decode()
    return Snapshot("full", created_ms, f"node{node}", "0.1", node_file, part, part, part)


ONE, OLD, TWO = snapshot(1, NOW_MS), snapshot(1, NOW_MS - HOUR_MS), snapshot(2, NOW_MS)
HERE = peer_of(ONE)


@pytest.mark.parametrize("choose", [chosen, chosen_to_read])
def test_a_snapshot_dated_ahead_is_not_taken_for_the_last(choose: Choose) -> None:
    ahead = snapshot(1, NOW_MS + HOUR_MS)
    found: Found = {"a" * 64: OLD, "b" * 64: ahead}
    with pytest.raises(Conflict, match="bbbbbbbbbbbb is dated after") as refused:
        choose(found, "", "", HERE, NOW_MS)
    assert "--at bbbbbbbbbbbb" in refused.value.hint
    assert choose(found, "b" * 8, "", HERE, NOW_MS) == ("b" * 64, ahead)
    assert choose(found, "a" * 8, "", HERE, NOW_MS) == ("a" * 64, OLD)
    assert choose(found, "2999-01-01", "", HERE, NOW_MS) == ("b" * 64, ahead)
    # Of clocks that are a minute apart nothing is said.
    assert choose(found, "", "", HERE, NOW_MS + HOUR_MS - 60_000) == ("b" * 64, ahead)


@pytest.mark.parametrize("choose", [chosen, chosen_to_read])
def test_what_cannot_be_read_is_told_from_what_is_not_there(choose: Choose) -> None:
    with pytest.raises(NotFound):
        choose({}, "", "", HERE, NOW_MS)
    with pytest.raises(Corrupt, match=r"2 of 2 are damaged \(snapshots/dd is damaged\)"):
        choose({"d" * 64: DAMAGED, "e" * 64: DAMAGED}, "", "", HERE, NOW_MS)
    with pytest.raises(Corrupt, match="snapshots/dd"):
        choose({"d" * 64: DAMAGED, "a" * 64: ONE}, "d" * 12, "", HERE, NOW_MS)
    with pytest.raises(Corrupt, match="of that time that can be read: 1 of 2"):
        choose({"d" * 64: DAMAGED, "a" * 64: ONE}, "2001-01-01", "", HERE, NOW_MS)


def test_of_this_node_nothing_can_be_read() -> None:
    """That it has no snapshot there is not said: one of the damaged may be its own."""
    with pytest.raises(Corrupt, match=r"of this node, only of node2 .*1 of 2 are damaged"):
        chosen({"d" * 64: DAMAGED, "a" * 64: TWO}, "", "", HERE, NOW_MS)
    with pytest.raises(NotFound, match="of this node, only of node2"):
        chosen({"a" * 64: TWO}, "", "", HERE, NOW_MS)
    assert chosen_to_read({"d" * 64: DAMAGED, "a" * 64: TWO}, "", "", HERE, NOW_MS)[1] == TWO
