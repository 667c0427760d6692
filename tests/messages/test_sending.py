"""What an outbox decides: properties of the plain functions, with a whole hub played through them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inos.core.errors import BadInput, Busy, Conflict, InosError, StorageFull, TooLarge, Unavailable
from inos.core.messages.ids import TAIL_BYTES, MessageId, next_id
from inos.core.messages.message import Message
from inos.core.messages.sync import MAX_BATCH, Ack, Result, decode_batch
from inos.messages.sending import (
    FIRST_PAUSE_S,
    MAX_PAUSE_S,
    URGENT,
    Course,
    Pace,
    Waiting,
    after_answer,
    after_failure,
    after_news,
    batch_body,
    begin,
    fitting,
    news_pause_s,
    pause_s,
    settlement,
)
from inos.messages.sizing import ROLE_SIZES, cache_bytes

PACES = st.builds(
    Pace, st.integers(1, MAX_BATCH), st.floats(0.1, 60), st.integers(1, 5), st.floats(1, 10, allow_nan=False)
)
ERRORS = st.sampled_from(
    [
        BadInput("b"),
        TooLarge("t"),
        Unavailable("u"),
        Busy("b"),
        Busy("b", retry_after_s=90.0),
        StorageFull("s"),
        Conflict("c"),
    ]
)
EVENTS = st.lists(st.none() | st.tuples(ERRORS, st.integers(1, MAX_BATCH)), max_size=60)


def waiting(count: int, size: int = 1) -> list[Waiting]:
    last: MessageId | None = None
    made = []
    for number in range(count):
        last = next_id(5, bytes([number % 256]) * TAIL_BYTES, last)
        made.append(Waiting(number + 1, last, b"x" * size))
    return made


@given(st.integers(1, 120), st.sets(st.integers(1, 120)), PACES)
def test_all_but_poison_arrives_in_order_and_poison_is_parked(count: int, poison: set[int], pace: Pace) -> None:
    """A hub that says of a batch no more than that something in it is wrong."""
    outbox, arrived, parked = waiting(count), [], []
    course, rounds = begin(pace), 0
    while outbox:
        rounds += 1
        assert rounds < 200 + count * (pace.retry_max + 12), "it does not come to an end"
        batch = outbox[: course.most]
        if any(each.seq in poison for each in batch):
            course, park = after_failure(course, pace, BadInput("no"), len(batch))
            if park:
                assert len(batch) == 1
                parked.append(outbox.pop(0).seq)
        else:
            arrived += [each.seq for each in batch]
            outbox = outbox[len(batch) :]
            course = after_answer(course, pace)
    assert parked == sorted(poison & set(range(1, count + 1))), "nothing but poison is parked"
    assert arrived == [seq for seq in range(1, count + 1) if seq not in poison]


@given(EVENTS, PACES, st.integers(0, 10_000), st.floats(0, 1))
def test_pauses_are_bounded_and_only_bad_input_parks(
    events: list[tuple[InosError, int] | None], pace: Pace, pending: int, chance: float
) -> None:
    course = begin(pace)
    for event in events:
        if event is None:
            course = after_answer(course, pace)
            assert pause_s(course, pace, pending, chance) == 0.0
            continue
        error, count = event
        course, park = after_failure(course, pace, error, count)
        assert not park or (isinstance(error, BadInput | TooLarge) and count == 1)
        assert 1 <= course.most <= MAX_BATCH
        pause = pause_s(course, pace, pending, chance)
        assert 0 <= pause <= MAX_PAUSE_S
        if pending >= URGENT:
            assert pause <= max(pace.interval_s, course.asked_s)
        if not isinstance(error, BadInput | TooLarge):
            assert pause >= min(FIRST_PAUSE_S, pace.interval_s) / 2
        if isinstance(error, Busy):
            assert pause >= min(MAX_PAUSE_S, error.retry_after_s)


@given(PACES, st.floats(0, 1))
def test_pauses_grow_up_to_the_limit(pace: Pace, chance: float) -> None:
    course, pauses = begin(pace), []
    for _ in range(100):
        course, _ = after_failure(course, pace, Unavailable("down"), 3)
        pauses.append(pause_s(course, pace, 1, chance))
    assert pauses == sorted(pauses)
    assert len({round(pause_s(course, pace, 1, each / 7), 9) for each in range(8)}) == 8, "many do not try at one time"


def test_the_first_try_after_a_failure_comes_soon_and_none_is_made_without_one() -> None:
    pace = Pace()
    assert pause_s(begin(pace), pace, 1, 1.0) == 0.0
    failed, _ = after_failure(begin(pace), pace, Unavailable("down"), 1)
    assert pause_s(failed, pace, 1, 1.0) == FIRST_PAUSE_S


@given(st.integers(0, 40), PACES)
def test_looking_for_news_becomes_rarer_and_never_stops(rounds: int, pace: Pace) -> None:
    course = begin(pace)
    assert news_pause_s(course, pace, any_uncovered=False) is None
    assert news_pause_s(course, pace, any_uncovered=True) == 0.0, "whoever was just opened asks at once"
    course = after_news(course, any_new=False)
    for _ in range(rounds):
        before = news_pause_s(course, pace, any_uncovered=True)
        course = after_news(course, any_new=False)
        after = news_pause_s(course, pace, any_uncovered=True)
        assert before is not None
        assert after is not None
        assert pace.interval_s <= before <= after <= max(MAX_PAUSE_S, pace.interval_s)
    assert news_pause_s(after_news(course, any_new=True), pace, any_uncovered=True) == pace.interval_s


@given(st.lists(st.integers(1, 400), min_size=1, max_size=50), st.integers(1, 2000))
def test_a_batch_is_the_oldest_as_far_as_they_fit(sizes: list[int], room: int) -> None:
    all_of_them = [Waiting(n, MessageId(str(n)), b"x" * size) for n, size in enumerate(sizes)]
    chosen = list(fitting(all_of_them, room))
    assert chosen == all_of_them[: len(chosen)]
    assert chosen, "one that is larger than the room goes alone"
    assert len(chosen) == 1 or sum(len(each.encoded) + 1 for each in chosen) <= room
    if len(chosen) < len(all_of_them):
        assert sum(sizes[: len(chosen) + 1]) + len(chosen) + 1 > room


def test_the_body_of_a_batch_is_what_its_values_encode_to() -> None:
    messages, last = [], None
    for number in range(3):
        last = next_id(1, bytes(TAIL_BYTES), last)
        messages.append(Message(last, number, "agent", {"é": [number, None]}))
    batch = [Waiting(n, each.id, each.encode()) for n, each in enumerate(messages)]
    for hub in ("", "hub-7"):
        body = batch_body("name", 'no"de', hub, batch)
        received = decode_batch(body)
        assert (received.batch, received.node, received.hub) == ("name", 'no"de', hub)
        assert received.messages == messages
        assert json.loads(body)["messages"][2]["content"] == {"é": [2, None]}


def test_an_answer_that_does_not_fit_is_not_believed() -> None:
    batch = waiting(2)
    sound = tuple(Result(each.id, "stored", each.seq) for each in batch)
    assert settlement(batch, "", Ack("hub", sound)).taken == ((1, 1), (2, 2))
    for results, hub in (
        (sound[:1], "hub"),
        (sound[::-1], "hub"),
        ((*sound, sound[0]), "hub"),
        (sound, ""),
        ((), "told"),
    ):
        with pytest.raises(Unavailable):
            settlement(batch, "told", Ack(hub, results))
    assert settlement(batch, "told", Ack("another", ())).taken == (), "nothing was stored, nothing is taken for stored"


def test_two_hubs_in_turn_are_waited_for() -> None:
    pace = Pace()
    course = after_answer(begin(pace), pace, moved=True)
    assert pause_s(course, pace, 1, 1.0) == 0.0, "a hub that took over gets the messages at once"
    assert pause_s(after_answer(course, pace, moved=True), pace, 1, 1.0) > 0.0
    assert after_answer(course, pace) == Course(most=MAX_BATCH)


@pytest.mark.parametrize(
    ("role", "tokens", "size"),
    [
        ("commander", 32_000, 116_000_000),
        ("recruiter", 32_000, 2_064_000_000),
        ("reasoner", 128_000, 628_000_000),
        ("coder", 64_000, 1_096_000_000),
        ("synthesizer", 32_000, 324_000_000),
        ("somebody", 32_000, 282_000_000),
        ("commander", 0, 100_000_000),
    ],
)
def test_the_size_of_a_cache_by_role(role: str, tokens: int, size: int) -> None:
    assert cache_bytes(role, tokens) == size
    if role in ROLE_SIZES and tokens:
        assert cache_bytes(role) == size, "the window that the role usually has"


def test_a_context_beyond_reason_is_refused() -> None:
    with pytest.raises(BadInput, match="context_tokens"):
        cache_bytes("coder", -1)
