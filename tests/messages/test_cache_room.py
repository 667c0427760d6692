"""A cache keeps to its size and days, keeps all that may still be needed, and refuses whole messages when full."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from cache_helpers import SMALL, draft, index_all, noise, place_of, simulated, write

from inos.core.errors import BadInput, NotFound, StorageFull, TooLarge
from inos.core.messages.message import Draft, Message
from inos.core.messages.query import MessageQuery, StoredMessage
from inos.core.messages.sync import Ack, Fate, Result
from inos.messages.cache import AgentCache, CacheLimits

DAY_S = 86_400
PIECE = 20_000


def fill(cache: AgentCache, most: int = 1000) -> list[Message]:
    """Write until it is full."""
    written: list[Message] = []
    with pytest.raises(StorageFull):
        while len(written) < most:
            written.append(cache.append(draft(noise(PIECE, len(written)))))
    assert written
    return written


def answer(cache: AgentCache, covered: int, fate: Fate = "stored", most: int = 500) -> int:
    """As a hub that has everything sent to it, `covered` of it for good."""
    batch = cache.outbox.take(most)
    results = tuple(Result(each.id, fate, each.seq if fate == "stored" else 0) for each in batch)
    return cache.outbox.settle(batch, Ack("hub", results, covered), 0) if batch else 0


def answer_all(cache: AgentCache, covered: int) -> None:
    while answer(cache, covered):
        pass


def ids(cache: AgentCache) -> list[str]:
    found: list[StoredMessage] = []
    after = ""
    while True:
        page = cache.query(MessageQuery(order="oldest", limit=500, after=after))
        found += page.messages
        after = page.next
        if not after:
            return [each.message.id for each in found]


@pytest.mark.parametrize("kind", ["machine", "simulated"])
def test_a_full_cache_of_what_no_hub_has_refuses_to_write_and_keeps_all(kind: str, tmp_path: Path) -> None:
    cache = place_of(kind, tmp_path).open(SMALL)
    written = fill(cache)
    assert ids(cache) == [each.id for each in written]
    assert cache.stats().pending == len(written), "message and outbox row, or neither"
    assert cache.used_bytes() <= SMALL.max_bytes
    assert cache.used_bytes() > SMALL.max_bytes / 2, "the room is there to be used"
    with pytest.raises(StorageFull, match="the cache is full: 4000000 bytes"):
        cache.append_many([draft("small"), draft(noise(PIECE, 7))])
    assert ids(cache) == [each.id for each in written]
    cache.upkeep()
    assert ids(cache) == [each.id for each in written], "upkeep lets go of none of them either"
    assert cache.query(MessageQuery(limit=1)).messages[0].message == written[-1]
    cache.close()


def test_what_a_hub_has_but_may_lose_stays_and_what_is_covered_goes_oldest_first() -> None:
    cache = simulated().open(SMALL)
    written = fill(cache)
    answer_all(cache, covered=0)
    with pytest.raises(StorageFull):
        cache.append(draft(noise(PIECE, 1)))
    half = len(written) // 2
    newest = cache.outbox.take_uncovered()
    cache.outbox.settle(newest, Ack("hub", (Result(newest[0].id, "duplicate", 1),), half), 0)
    for number in range(half):
        written.append(cache.append(draft(noise(PIECE, number))))
    left = ids(cache)
    assert left == [each.id for each in written][-len(left) :], "the oldest went"
    assert written[half].id in left
    assert cache.stats().messages == len(left)
    assert cache.used_bytes() <= SMALL.max_bytes
    cache.close()


def test_parked_ones_never_go() -> None:
    cache = simulated().open(SMALL)
    written = write(cache, 3)
    answer(cache, 0, "refused")
    for number in range(400):
        cache.append(draft(noise(PIECE, number)))
        answer(cache, covered=10_000)
    assert [each.id for each in cache.outbox.parked()] == [each.id for each in written]
    assert ids(cache)[:3] == [each.id for each in written]
    assert cache.outbox.retry() == 3
    assert [each.id for each in cache.outbox.take(3)] == [each.id for each in written]
    cache.close()


def test_upkeep_goes_by_days_and_the_order_of_ids_outlives_it() -> None:
    place = simulated()
    cache = place.open(CacheLimits(SMALL.max_bytes, retention_days=3))
    old = write(cache, 700, task="old")
    place.env.later(2 * DAY_S)
    recent = write(cache, 10)
    answer_all(cache, covered=705)
    index_all(cache)
    place.env.later(1.5 * DAY_S)
    while cache.upkeep():
        pass
    assert ids(cache) == [each.id for each in recent]
    assert cache.stats().messages == 10
    assert not cache.query(MessageQuery(task="old")).messages
    with pytest.raises(NotFound):
        cache.get(old[-1].id)
    place.env.later(10 * DAY_S)
    cache.upkeep()
    assert ids(cache) == [each.id for each in recent][5:], "those that are not covered stay, however old"
    answer_all(cache, covered=1000)
    [probe] = cache.outbox.take_uncovered() or [None]
    if probe is not None:
        cache.outbox.settle((probe,), Ack("hub", (Result(probe.id, "duplicate", probe.seq),), 1000), 0)
    while cache.upkeep():
        pass
    assert ids(cache) == [recent[-1].id], "the newest stays: the next id must exceed it"
    cache.close()
    place.env.wall_s -= 100 * DAY_S
    cache = place.open()
    assert cache.append(draft()).id > recent[-1].id
    cache.close()


def test_upkeep_makes_room_before_writers_need_it_and_gives_pages_back() -> None:
    place = simulated()
    cache = place.open(SMALL, sends=False)
    for number in range(210):
        cache.append(draft(noise(PIECE, number)))
    place.env.later(5)
    before = cache.stats().messages
    while cache.upkeep():
        pass
    assert cache.stats().messages < before
    cache.close()
    cache = place.open(CacheLimits(SMALL.max_bytes, retention_days=1), sends=False)
    place.env.later(3 * DAY_S)
    for _ in range(40):
        cache.upkeep()
    assert cache.stats().messages == 1
    cache.close()
    assert place.files.size(place.folder / "cache.db") < 1_000_000
    cache = place.open(SMALL)
    assert not cache.check()
    cache.close()


def test_a_full_disk_refuses_whole_messages_and_all_goes_on_when_there_is_room() -> None:
    place = simulated(capacity_bytes=3_000_000)
    disk = place.disk
    assert disk is not None
    cache = place.open()
    written = write(cache, 20)
    for free in (0, 5_000, 30_000, 100_000):
        disk.fill(free)
        with pytest.raises(StorageFull):
            for number in range(30):
                written.append(cache.append(draft(noise(PIECE, number))))
        assert ids(cache) == [each.id for each in written]
        with pytest.raises(StorageFull):
            cache.append(draft(noise(200_000, free)))
        disk.fill(None)
        written += write(cache, 1)
    cache.close()
    cache = place.open()
    assert ids(cache) == [each.id for each in written]
    assert cache.stats().pending == len(written)
    assert not cache.check()
    cache.close()


def test_copies_from_the_hub_go_first_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inos.messages.copies.MAX_COPIES", 20)
    cache = simulated().open(SMALL)
    other = simulated().open(agent="other")
    mine = write(cache, 2)
    theirs = [other.get(each.id) for each in _written_by(other, 50)]
    cache.copies.keep(theirs)
    assert [each.seq for each in cache.copies.newest(100)] == list(range(31, 51))[::-1]
    assert cache.copies.get(theirs[-1].message.id) == theirs[-1]
    with pytest.raises(NotFound):
        cache.copies.get(theirs[0].message.id)
    written = mine + fill(cache)
    assert not cache.copies.newest(100)
    assert ids(cache) == [each.id for each in written]
    cache.copies.keep(theirs)
    assert not cache.copies.newest(100), "where there is no room there are no copies"
    cache.close()
    other.close()


def _written_by(cache: AgentCache, count: int) -> Sequence[Message]:
    return cache.append_many([Draft(cache.agent, noise(4000, number)) for number in range(count)])


def test_more_at_once_than_the_log_should_hold_is_refused() -> None:
    cache = simulated().open(SMALL)
    with pytest.raises(TooLarge, match="at once"):
        cache.append_many([draft(noise(PIECE, number)) for number in range(40)])
    assert cache.stats().messages == 0
    cache.close()


def test_limits_out_of_bounds_are_refused() -> None:
    for limits in ((10, 0), (10**16, 0), (SMALL.max_bytes, -1), (SMALL.max_bytes, 10**6)):
        with pytest.raises(BadInput):
            CacheLimits(*limits)
