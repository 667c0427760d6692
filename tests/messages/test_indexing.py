"""When a corpus indexes: enough of them, or nothing comes any more; at once what was left from before."""

from __future__ import annotations

from dataclasses import replace

from inos.messages.corpus import CorpusStats
from inos.messages.indexing import QUIET_S, Pacing

NOTHING = CorpusStats(messages=0, unread=0, last_seq=0, last_mark_seq=0, used_bytes=0, unindexed=0)


def seen(last_seq: int, unindexed: int) -> CorpusStats:
    return replace(NOTHING, messages=last_seq, last_seq=last_seq, unindexed=unindexed)


def test_many_are_indexed_at_once_and_few_when_it_is_quiet() -> None:
    pacing = Pacing(100)
    assert not pacing.is_due(seen(0, 0), 0.0)
    assert not pacing.is_due(seen(99, 99), 5.0)
    assert pacing.is_due(seen(100, 100), 6.0)
    assert not pacing.is_due(seen(101, 1), 7.0)
    assert not pacing.is_due(seen(101, 1), 6.9 + QUIET_S)
    assert pacing.is_due(seen(101, 1), 7.0 + QUIET_S)
    assert not pacing.is_due(seen(101, 0), 8.0 + QUIET_S)


def test_as_long_as_they_trickle_in_they_wait() -> None:
    pacing = Pacing(100)
    pacing.is_due(NOTHING, 0.0)
    due = [number for number in range(1, 250) if pacing.is_due(seen(number, number % 100 or 100), number * QUIET_S / 2)]
    assert due == [100, 200]


def test_what_was_left_from_before_is_indexed_at_once() -> None:
    assert Pacing(100).is_due(seen(7, 7), 1_000.0)
