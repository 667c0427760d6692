"""The records kept in memory: bounded, and never older than the last change."""

from __future__ import annotations

from inos.state.record import Record
from inos.store.recent import MAX_RECENT_BYTES, RecentRecords


def record(key: bytes, value: bytes = b"v") -> Record:
    return Record("t", key, value, False, 1, b"a" * 32, value)


def test_what_was_read_is_known_until_it_changes() -> None:
    recent, one, other = RecentRecords(), record(b"1"), record(b"2")
    recent.keep([one, other], recent.changes())
    assert recent.get(("t", b"1")) == one
    recent.forget([("t", b"1")])
    assert recent.get(("t", b"1")) is None
    assert recent.get(("t", b"2")) == other


def test_what_was_read_before_a_change_is_not_kept_after_it() -> None:
    recent = RecentRecords()
    since = recent.changes()
    recent.forget([("t", b"1")])
    recent.keep([record(b"1")], since)
    assert recent.get(("t", b"1")) is None


def test_those_used_longest_ago_go_first_and_the_bytes_are_bounded() -> None:
    recent = RecentRecords()
    large = [record(b"%d" % number, bytes(MAX_RECENT_BYTES // 4)) for number in range(5)]
    recent.keep(large[:4], recent.changes())
    assert recent.get(("t", b"0")) is not None
    recent.keep(large[4:], recent.changes())
    assert [recent.get(("t", b"%d" % number)) is not None for number in range(5)] == [True, False, True, True, True]
    recent.keep([record(b"huge", bytes(MAX_RECENT_BYTES + 1))], recent.changes())
    assert recent.get(("t", b"huge")) is None
