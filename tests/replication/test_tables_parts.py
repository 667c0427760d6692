"""The parts of replicated tables on their own: messages, tallies, lanes, pages, differences, the gate."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import trio
import trio.lowlevel
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core import codec
from inos.core.errors import BadFrame, BadInput, InosError, PeerUnavailable
from inos.replication import table_wire as wire
from inos.replication.anti_entropy import MAX_REFUSED, REFUSED_S, Refusals, compare
from inos.replication.quorum import MAX_LANE_BYTES, Lanes, Push, Tally
from inos.replication.table_gate import Gate
from inos.replication.table_reads import ReplicaPage, merge_pages
from inos.replication.table_view import Place
from inos.state.lamport import LamportClock
from inos.state.merge import newest
from inos.state.record import Record
from inos.state.records import sign_record
from inos.store.memory_records import MemoryRecordStore
from inos.store.replica import Entry
from inos.testing.env import SimEnv
from inos.testing.members import fixed_key
from inos.testing.run import trio_test
from inos.testing.table_mesh import NOTES, SPECS, key_of

KEY = fixed_key("parts")
DECODERS: list[Callable[[bytes], object]] = [
    wire.decode_batch,
    wire.decode_push_answer,
    wire.decode_digests,
    wire.decode_bucket_request,
    wire.decode_buckets,
    wire.decode_entry_request,
    wire.decode_entries,
    wire.decode_fetch,
    wire.decode_scan,
]


def version(key: bytes, lamport: int) -> Record:
    return Record(NOTES, key, b"", False, lamport, b"a" * 32, lamport.to_bytes(8, "big"))


# -- messages


def test_messages_come_back_as_they_were() -> None:
    batch = wire.Batch([b"one", b"two"], behind=True, more=True)
    assert wire.decode_batch(wire.encode_batch(batch)) == batch
    roots = {Place("a", 3): b"r" * 32, Place("b", 0): b""}
    assert wire.decode_digests(wire.encode_digests(roots)) == roots
    assert wire.decode_push_answer(wire.encode_push_answer(2, {1: "refused"})) == {1: "refused"}
    assert wire.decode_bucket_request(wire.encode_bucket_request(Place("a", 3))) == Place("a", 3)
    buckets = [bytes([n]) * 32 for n in range(256)]
    assert wire.decode_buckets(wire.encode_buckets(buckets)) == buckets
    assert wire.decode_entry_request(wire.encode_entry_request(Place("a", 3), [9, 4, 4])) == (Place("a", 3), [4, 9])
    assert wire.decode_entries(wire.encode_entries([Entry(b"k", b"d" * 32)])) == {b"k": b"d" * 32}
    assert wire.decode_fetch(wire.encode_fetch("a", [b"k", b"l"])) == ("a", [b"k", b"l"])
    request = wire.ScanRequest("a", b"p", b"q", 7)
    assert wire.decode_scan(wire.encode_scan(request)) == request


@pytest.mark.parametrize("decode", DECODERS)
def test_garbage_ends_in_bad_frame(decode: Callable[[bytes], object]) -> None:
    @settings(max_examples=60)
    @given(st.binary(max_size=300))
    def check(data: bytes) -> None:
        try:
            decode(data)
        except BadFrame:
            return

    check()


@pytest.mark.parametrize(
    ("decode", "data"),
    [
        (wire.decode_batch, wire.encode_batch(wire.Batch([b""] * (wire.MAX_BATCH_RECORDS + 1)))),
        (wire.decode_batch, wire.encode_batch(wire.Batch([b"x" * 40_000]))),
        (wire.decode_digests, wire.encode_digests({Place("t", n): b"" for n in range(wire.MAX_DIGESTS + 1)})),
        (wire.decode_digests, wire.encode_digests({Place("t", 0): b"x" * 33})),
        (wire.decode_digests, wire.encode_digests({Place("t" * 33, 0): b""})),
        (wire.decode_buckets, wire.encode_buckets([b""] * 255)),
        (wire.decode_entry_request, wire.encode_entry_request(Place("t", 0), [256])),
        (wire.decode_entries, wire.encode_entries([Entry(b"k" * 257, b"")])),
        (wire.decode_fetch, wire.encode_fetch("t", [b"k"] * (wire.MAX_FETCH_KEYS + 1))),
        (wire.decode_scan, wire.encode_scan(wire.ScanRequest("t", b"p" * 257, b"", 1))),
    ],
)
def test_messages_over_their_bounds_are_bad_frames(decode: Callable[[bytes], object], data: bytes) -> None:
    with pytest.raises(BadFrame):
        decode(data)


def test_a_scan_for_too_much_is_cut() -> None:
    request = codec.encode("p2p/tables.capnp:ScanRequest", table="t", limit=2**32 - 1)
    assert wire.decode_scan(request).limit == wire.MAX_SCAN_RECORDS


@given(st.lists(st.integers(0, 40_000), max_size=80), st.integers(1, 100))
def test_what_is_said_to_fit_fits(sizes: list[int], most: int) -> None:
    count = wire.fitting(sizes, max_items=most, max_bytes=100_000)
    assert count <= most
    assert count >= min(1, len(sizes))
    spent = sum(size + wire.RECORD_OVERHEAD_BYTES for size in sizes[:count])
    assert spent <= 100_000 or count == 1
    assert count in (len(sizes), most) or spent + sizes[count] + wire.RECORD_OVERHEAD_BYTES > 100_000


def test_a_full_batch_fits_in_a_frame() -> None:
    records = [b"x" * 489] * wire.MAX_BATCH_RECORDS
    count = wire.fitting([len(record) for record in records], max_items=wire.MAX_BATCH_RECORDS)
    assert len(wire.encode_batch(wire.Batch(records[:count]))) <= 1 << 20


# -- tallies and lanes


def test_a_tally_is_settled_at_the_majority_of_every_record() -> None:
    tally = Tally([3, 2], [1, 0])
    first = [tally.expect(0) for _ in range(4)]
    second = [tally.expect(1) for _ in range(3)]
    tally.begin()
    first[0](True)
    first[1](True)
    second[0](True)
    assert not tally.settled.is_set()
    assert tally.weakest() == (1, 2)
    second[1](True)
    assert tally.settled.is_set()
    assert tally.reached(0) and tally.reached(1)
    second[2](True)
    assert tally.weakest()[0] >= tally.weakest()[1]


@settings(max_examples=80)
@given(st.lists(st.tuples(st.integers(1, 4), st.lists(st.booleans(), max_size=6)), max_size=5), st.randoms())
def test_a_tally_settles_when_nothing_is_left_to_wait_for(plan: list[tuple[int, list[bool]]], order: object) -> None:
    tally = Tally([wanted for wanted, _ in plan], [0] * len(plan))
    answers = [(tally.expect(index), acked) for index, (_, acks) in enumerate(plan) for acked in acks]
    tally.begin()
    order.shuffle(answers)  # type: ignore[attr-defined]
    for settle, acked in answers:
        settle(acked)
    assert tally.settled.is_set()
    assert [tally.reached(at) for at in range(len(plan))] == [sum(acks) >= wanted for wanted, acks in plan]


@trio_test
async def test_a_lane_gathers_while_a_call_is_under_way() -> None:
    sent: list[int] = []
    release = trio.Event()

    async def send(_node: bytes, records: Sequence[bytes]) -> dict[int, str]:
        sent.append(len(records))
        await release.wait()
        return {0: "refused"} if len(records) == 1 else {}

    lanes = Lanes(send, lambda node: None)
    got: list[bool] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(lanes.run)
        for _ in range(5):
            lanes.offer(b"n", [Push(b"record", got.append)])
            await trio.testing.wait_all_tasks_blocked()
        release.set()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert sent == [1, 4]
    assert got == [False, True, True, True, True]


@trio_test
async def test_a_lane_that_fails_or_is_full_fails_what_waits_and_says_whose() -> None:
    failed: list[bytes] = []

    async def send(_node: bytes, _records: Sequence[bytes]) -> dict[int, str]:
        await trio.lowlevel.checkpoint()
        raise PeerUnavailable("gone")

    lanes = Lanes(send, failed.append)
    got: list[bool] = []
    lanes.offer(b"stopped", [Push(b"record", got.append)])
    async with trio.open_nursery() as nursery:
        await nursery.start(lanes.run)
        lanes.offer(b"dead", [Push(b"record", got.append)] * 3)
        lanes.offer(b"full", [Push(b"x" * 33_000, got.append)] * (MAX_LANE_BYTES // 33_000 + 1))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert set(failed) == {b"stopped", b"dead", b"full"}
    assert len(got) == 1 + 3 + MAX_LANE_BYTES // 33_000 + 1
    assert not any(got)


# -- pages and differences


@settings(max_examples=300)
@given(
    st.lists(st.dictionaries(st.integers(0, 9), st.integers(1, 3), max_size=8), min_size=2, max_size=3),
    st.lists(st.integers(1, 3), min_size=3, max_size=3),
    st.integers(1, 8),
)
def test_paging_over_replicas_finds_the_newest_of_everything(
    replicas: list[dict[int, int]], cuts: list[int], limit: int
) -> None:
    held = [{bytes([key]): version(bytes([key]), lamport) for key, lamport in one.items()} for one in replicas]
    found: list[Record] = []
    after: bytes | None = b""
    while after is not None:
        rest = [[one[key] for key in sorted(one) if key > after] for one in held]
        answers = [(records, min(limit, cut)) for records, cut in zip(rest, cuts, strict=False)]
        page = merge_pages([ReplicaPage(records[:cut], len(records) > cut) for records, cut in answers], limit)
        assert len(page.records) <= limit
        found += page.records
        after = page.after
    keys = sorted({key for one in held for key in one})
    assert found == [newest(one.get(key) for one in held) for key in keys]


LISTING = st.dictionaries(st.binary(max_size=2), st.sampled_from([b"1", b"2"]), max_size=12)


@given(LISTING, LISTING)
def test_a_difference_is_exactly_what_differs(ours: dict[bytes, bytes], theirs: dict[bytes, bytes]) -> None:
    found = compare(ours, theirs)
    assert set(found.fetch) | set(found.push) == {k for k in ours | theirs if ours.get(k) != theirs.get(k)}
    assert set(found.fetch) <= set(theirs)
    assert set(found.push) <= set(ours)
    assert compare(ours, ours).fetch == compare(ours, ours).push == []


def test_refusals_are_forgotten_in_time_and_bounded() -> None:
    async def main() -> None:
        refusals = Refusals(SimEnv())
        refusals.add(b"digest")
        assert refusals.without([b"k", b"l"], {b"k": b"digest", b"l": b"other"}, b"") == [b"l"]
        await trio.sleep(REFUSED_S + 1)
        assert refusals.without([b"k"], {b"k": b"digest"}, b"") == [b"k"]
        for number in range(MAX_REFUSED + 1):
            refusals.add(number.to_bytes(4, "big"))
        zero, last = bytes(4), MAX_REFUSED.to_bytes(4, "big")
        assert refusals.without([b"k", b"l"], {b"k": zero, b"l": last}, b"") == [b"k"]

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


# -- the gate


def gate() -> tuple[Gate, MemoryRecordStore, LamportClock]:
    store, clock = MemoryRecordStore(), LamportClock()
    return Gate(store, {spec.name: spec for spec in SPECS}, clock), store, clock


def note(name: str, lamport: int, *, signer: str = "parts", removed: bool = False) -> Record:
    return sign_record(fixed_key(signer), NOTES, key_of(name, KEY), b"" if removed else b"v", lamport, removed)


def test_the_gate_says_what_became_of_each() -> None:
    guarded, store, clock = gate()
    new, alien = note("new", 5), note("alien", 6, signer="somebody else")
    verdicts = guarded.admit([new.encoded, alien.encoded, b"garbage!", new.encoded])
    assert [(v.applied, v.refusal) for v in verdicts] == [
        (True, ""),
        (False, "refused"),
        (False, "bad_frame"),
        (False, ""),
    ]
    assert store.get(NOTES, new.key) == new
    assert clock.now == 5
    assert [(v.applied, v.refusal) for v in guarded.admit([new.encoded])] == [(False, "")]


def test_a_batch_with_several_versions_keeps_the_newest() -> None:
    guarded, store, _ = gate()
    versions = [note("note", lamport).encoded for lamport in (3, 9, 6)]
    assert [verdict.refusal for verdict in guarded.admit(versions)] == ["", "", "superseded"]
    held = store.get(NOTES, note("note", 9).key)
    assert held is not None
    assert held.lamport == 9


def test_own_writes_are_whole_or_not_at_all() -> None:
    guarded, store, _ = gate()
    good, bad, other = note("good", 1), note("bad", 1, signer="somebody else"), note("other", 1)
    outcomes = guarded.admit_own([[good, bad], [other]])
    assert isinstance(outcomes[0], InosError)
    assert outcomes[1] == [True]
    assert store.get(NOTES, good.key) is None
    assert store.get(NOTES, other.key) == other
    with pytest.raises(BadInput):
        guarded.spec("nowhere")
