"""An agent's cache: what `append` returned is there, in order, found by all that can be asked, and nobody else's."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from cache_helpers import AGENT, KEY, SMALL, Place, draft, index_all, place_of, simulated, write
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.errors import BadInput, Conflict, Corrupt, InosError, Locked, NotFound, Refused
from inos.core.messages.message import MAX_CONTENT_BYTES, Draft, Message
from inos.core.messages.query import MessageQuery, StoredMessage
from inos.core.messages.words import FOUND_BEGIN, FOUND_END
from inos.messages.cache import AgentCache
from inos.messages.cache_folder import open_cache

KINDS = ("machine", "simulated")


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return place_of(request.param, tmp_path)


def numbers(found: tuple[StoredMessage, ...]) -> list[int]:
    return [each.message.content["number"] for each in found]


def test_what_was_written_is_there_after_a_restart_and_ids_go_on(place: Place) -> None:
    with_everything = draft(
        {"text": "ä" * 3000, "n": [1, None]},
        kind="lead",
        priority=9,
        task="t",
        role="coder",
        sender="me",
        recipient="you",
    )
    cache = place.open()
    written = [cache.append(with_everything), *write(cache, 5)]
    cache.close()
    place.env.wall_s -= 3600  # the clock is set back while the agent is down
    cache = place.open()
    written += write(cache, 5)
    assert [each.id for each in written] == sorted(each.id for each in written)
    assert [cache.get(each.id).message for each in written] == written
    assert written[-1].time_ms < written[0].time_ms, "a message has the time that its agent's clock showed"
    page = cache.query(MessageQuery(order="oldest"))
    assert [each.message for each in page.messages] == written
    assert [each.seq for each in page.messages] == list(range(1, 12))
    assert cache.stats().messages == 11
    assert cache.stats().pending == 11
    cache.close()


def test_a_message_that_is_wrong_leaves_nothing_and_so_do_those_with_it(place: Place) -> None:
    cache = place.open()
    for wrong in ([draft(), draft(object())], [draft(), draft(kind="No Word")], [draft("x" * (MAX_CONTENT_BYTES + 1))]):
        with pytest.raises(BadInput):
            cache.append_many(wrong)
    with pytest.raises(BadInput, match="cache of 'scout-1'"):
        cache.append(Draft("somebody", "x"))
    assert cache.append_many([]) == []
    assert cache.stats().messages == 0
    assert cache.append(draft()).agent == AGENT
    cache.close()


@pytest.mark.parametrize("indexed", [0, 30, 60])
def test_everything_that_can_be_asked_is_found_indexed_or_not(indexed: int) -> None:
    cache = simulated().open()
    fields = [
        {"task": f"t-{n % 3}", "kind": ("lead", "error")[n % 2], "role": "coder" if n % 5 else "", "priority": n % 10}
        for n in range(60)
    ]
    for n, each in enumerate(fields):
        cache.append(draft({"number": n, "text": f"Größe {n} of apples"}, recipient=f"r {n % 4}", **each))
    assert indexed == 0 or cache.index_step(indexed) == indexed

    def asked(**query: object) -> list[int]:
        return numbers(cache.query(MessageQuery(order="oldest", **query)).messages)  # type: ignore[arg-type]

    assert asked(task="t-1") == [n for n in range(60) if n % 3 == 1]
    assert asked(task="t-1", kind="error", priority=5) == [n for n in range(60) if n % 6 == 1 and n % 10 >= 5]
    assert asked(recipient="r 2", role="coder") == [n for n in range(60) if n % 4 == 2 and n % 5]
    assert asked(task="t") == asked(agent="another") == asked(state="executed") == asked(text="apples pears") == []
    assert asked(agent=AGENT, state="open") == list(range(60))
    assert asked(text="GROSSE 17") == [17]
    assert asked(text="appl", task="t-0") == [n for n in range(60) if n % 3 == 0]
    newest = cache.query(MessageQuery(text="grö", task="t-2", limit=2))
    assert numbers(newest.messages) == [59, 56]
    assert FOUND_BEGIN + "Größe" + FOUND_END in newest.messages[0].snippet
    assert {each.message.content["number"] for each in cache.search("apples", limit=60).messages} == set(range(60))
    cache.close()


def test_the_best_fitting_come_first() -> None:
    cache = simulated().open()
    for text in ("river " * 3 + "bank", "a long text about many things and also one river " * 5, "no match"):
        cache.append(draft(text))
    index_all(cache)
    assert [each.seq for each in cache.search("river").messages] == [1, 2]
    cache.close()


@settings(max_examples=12)
@given(st.integers(1, 40), st.integers(1, 15), st.sampled_from(["newest", "oldest"]), st.sampled_from(["", "even"]))
def test_pages_follow_each_other_without_gap_while_messages_arrive(
    count: int, limit: int, order: str, task: str
) -> None:
    cache = simulated().open()
    write(cache, count, task="even")
    cache.index_step(count // 2)
    seen, after = [], ""
    while True:
        page = cache.query(MessageQuery(order=order, limit=limit, after=after, task=task))  # type: ignore[arg-type]
        seen += numbers(page.messages)
        after = page.next
        if not after:
            break
        if order == "newest":
            write(cache, 1, task="even")
    assert seen == (list(range(count))[::-1] if order == "newest" else list(range(count)))
    cache.close()


@settings(max_examples=25)
@given(st.lists(st.integers(-5000, 5000), min_size=1, max_size=30), st.integers(-9000, 9000), st.integers(-9000, 9000))
def test_times_are_found_however_the_clock_jumps(jumps: list[int], since: int, until: int) -> None:
    place = simulated()
    cache = place.open()
    start_ms = int(place.env.wall_s * 1000)
    times = []
    for number, jump in enumerate(jumps):
        place.env.wall_s += jump / 1000
        times.append(cache.append(draft({"number": number})).time_ms)
    query = MessageQuery(order="oldest", since_ms=start_ms + since, until_ms=start_ms + until)
    expected = [n for n, time_ms in enumerate(times) if start_ms + since <= time_ms < start_ms + until]
    assert numbers(cache.query(query).messages) == expected
    cache.close()


def test_writers_in_many_threads_keep_one_order(tmp_path: Path) -> None:
    cache = place_of("machine", tmp_path).open()
    written: list[list[Message]] = [[] for _ in range(4)]

    def work(mine: list[Message]) -> None:
        mine += [cache.append(draft({"number": number})) for number in range(25)]

    threads = [threading.Thread(target=work, args=(mine,)) for mine in written]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = cache.query(MessageQuery(order="oldest", limit=500)).messages
    assert [each.message.id for each in found] == sorted(each.id for mine in written for each in mine)
    assert all([each.id for each in mine] == sorted(each.id for each in mine) for mine in written)
    cache.close()


def test_one_nobody_wrote_is_not_found(place: Place) -> None:
    cache = place.open()
    [message] = write(cache, 1)
    with pytest.raises(NotFound):
        cache.get("01a21e41-4a9d-7d52-84bc-361e79528b9a")
    with pytest.raises(BadInput):
        cache.get("x")
    with pytest.raises(NotFound):
        cache.outbox.status(message.id[:-1] + ("0" if message.id[-1] != "0" else "1"))
    cache.close()


@pytest.mark.parametrize("lies", [False, True])
def test_power_lost_at_any_moment_costs_nothing_that_was_acknowledged(lies: bool) -> None:
    """Cut somewhere in opening, appending, indexing, or writing the log back; then the cache is whole again. A disk
    that lies about syncing shows that the test would notice."""
    chance = random.Random(5)
    lost = sum(_lost_with_the_power(seed, chance, lies) for seed in range(15 if lies else 40))
    assert bool(lost) == lies


def _lost_with_the_power(seed: int, chance: random.Random, lies: bool) -> int:
    place = simulated(seed)
    disk = place.disk
    assert disk is not None
    if seed % 4 or lies:
        place.open(SMALL).close()
    disk.ignore_sync = lies
    disk.cut_power_at(disk.steps + chance.randrange(1, 120))
    files, acknowledged = disk.files, []
    cache = place.open(SMALL)
    for number in range(12):
        written = cache.append(draft({"number": number, "text": "some words to be found"}))
        if disk.files is not files:
            break
        acknowledged.append(written)
        if number % 5 == 4:
            place.env.later(1)
            cache.upkeep()
    cache.close()
    if disk.files is files:
        disk.crash()
    if lies:
        return _missing(place, acknowledged)
    cache = place.open(SMALL)
    found = [each.message for each in cache.query(MessageQuery(order="oldest")).messages]
    known = [each for each in acknowledged if each in found]
    assert len(found) <= len(acknowledged) + 1
    assert [each.id for each in found] == sorted({each.id for each in found})
    assert [each.id for each in cache.outbox.take()] == [each.id for each in found], "message and outbox row are one"
    assert cache.append(draft()).id > (found[-1].id if found else "")
    assert not cache.check()
    cache.close()
    return len(acknowledged) - len(known)


def _missing(place: Place, acknowledged: list[Message]) -> int:
    """How many are not there, where not even the database need be whole."""
    try:
        cache = place.open(SMALL)
        found = [each.message for each in cache.query(MessageQuery()).messages]
        cache.close()
    except Corrupt:
        return len(acknowledged)
    return len([each for each in acknowledged if each not in found])


def test_a_bit_flipped_on_the_disk_is_noticed() -> None:
    noticed = 0
    for seed in range(12):
        place = simulated(seed)
        disk = place.disk
        assert disk is not None
        cache = place.open()
        write(cache, 300)
        cache.close()
        disk.rot(str(place.folder / "cache.db"))
        try:
            with closing(place.open()) as cache:
                noticed += bool(cache.check())
        except Corrupt as error:
            noticed += 1
            assert "hub" in error.hint, "what to do about a cache, not about a node"
    assert noticed == 12


def test_the_wrong_key_and_another_agents_cache_are_refused(place: Place) -> None:
    place.open().close()
    with pytest.raises(Corrupt):
        place.open(key=bytes(32))
    with pytest.raises(Conflict, match="is the cache of the agent 'scout-1', not of 'scout-2'"):
        place.open(agent="scout-2")
    place.open().close()


def test_without_sync_it_outlives_the_process() -> None:
    place = simulated()
    assert place.disk is not None
    cache = place.open(synced=False)
    written = write(cache, 20)
    place.disk.kill()
    cache.close()
    cache = place.open(synced=False)
    assert [each.message for each in cache.query(MessageQuery(order="oldest")).messages] == written
    cache.close()


def test_a_loss_of_power_without_sync_leaves_a_beginning_of_it() -> None:
    lost = 0
    for seed in range(10):
        place = simulated(seed)
        assert place.disk is not None
        place.open(synced=False).close()
        cache = place.open(synced=False)
        written = [cache.append(draft({"number": number})) for number in range(20)]
        place.disk.crash()
        cache.close()
        cache = place.open(synced=False)
        found = [each.message for each in cache.query(MessageQuery(order="oldest")).messages]
        assert found == written[: len(found)]
        lost += len(written) - len(found)
        cache.close()
    assert lost, "or the test does not tell the two levels apart"


def test_preparing_the_log_makes_it_long_and_changes_nothing(tmp_path: Path) -> None:
    place = place_of("machine", tmp_path)
    cache = place.open()
    [first] = write(cache, 1)
    log, file = tmp_path / "cache.db-wal", tmp_path / "cache.db"
    before = file.stat().st_size
    cache.prepare_log()
    long = log.stat().st_size
    assert long >= 4 << 20
    written = [first, *write(cache, 300)]
    assert log.stat().st_size == long, "appends write over it"
    assert file.stat().st_size == before
    cache.close()
    cache = place.open()
    assert [each.message for each in cache.query(MessageQuery(order="oldest", limit=500)).messages] == written
    assert not cache.check()
    cache.close()


def test_a_cache_that_does_not_send_has_nothing_pending(place: Place) -> None:
    cache = place.open(sends=False)
    [message] = write(cache, 1)
    assert cache.stats().pending == 0
    assert cache.outbox.status(message.id) == "settled"
    cache.close()


class TestFolder:
    def test_is_made_private_and_opened_by_one_at_a_time(self, tmp_path: Path) -> None:
        folder = tmp_path / "new" / "agents" / AGENT
        env = Place(tmp_path).env
        with open_cache(folder, AGENT, env) as cache:
            write(cache, 1)
            assert {(each.name, each.stat().st_mode & 0o777) for each in folder.iterdir()} >= {
                ("cache.db", 0o600), ("cache.key", 0o600), ("lock", 0o600),
            }  # fmt: skip
            assert folder.stat().st_mode & 0o777 == 0o700
            with pytest.raises(Locked, match="in use by process") as told, open_cache(folder, AGENT, env):
                pass
            assert "one process at a time writes as 'scout-1'" in told.value.hint
        with open_cache(folder, AGENT, env) as cache:
            assert cache.stats().messages == 1
        assert b"number" not in (folder / "cache.db").read_bytes(), "what is on the disk is encrypted"

    def test_a_key_that_is_missing_damaged_or_open_to_others_is_told(self, tmp_path: Path) -> None:
        env = Place(tmp_path).env
        with open_cache(tmp_path, AGENT, env):
            pass
        key = tmp_path / "cache.key"
        sound = key.read_bytes()

        def opened_by_others() -> None:
            key.write_bytes(sound)
            key.chmod(0o644)

        changes: list[tuple[Callable[[], object], type[InosError]]] = [
            (lambda: key.write_bytes(sound[:5]), Corrupt),
            (lambda: key.write_bytes(bytes(32)), Corrupt),
            (opened_by_others, Refused),
            (key.unlink, Corrupt),
        ]
        for change, error in changes:
            change()
            with pytest.raises(error), open_cache(tmp_path, AGENT, env):
                pass
        with open_cache(tmp_path, AGENT, env, key=sound) as cache:
            assert isinstance(cache, AgentCache)
        assert sound != KEY
