"""Placement: the same on every node, even, and moving little; its bytes take no nonsense."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inos.core.codec import encode
from inos.core.errors import BadInput, InosError
from inos.core.ids import Address, Cid, OwnerId
from inos.crypto.hashing import blake3_digest
from inos.objects.layout import COPIES, Scheme
from inos.replication.placement import (
    MAX_MEMBERS,
    Candidate,
    Placement,
    choose_members,
    copy_holders,
    decode_placement,
    encode_placement,
    stripe_holders,
)

CID = Cid(blake3_digest(b"object"))
OWNER = OwnerId(blake3_digest(b"owner"))


def nodes(count: int) -> list[bytes]:
    return [blake3_digest(b"node %d" % number) for number in range(count)]


def pieces(count: int, label: str = "piece") -> list[Address]:
    return [Address(blake3_digest(f"{label} {number}".encode())) for number in range(count)]


def placed(members: list[bytes], scheme: Scheme = COPIES, copies: int = 5) -> Placement:
    return Placement(CID, OWNER, scheme, copies, tuple(members), 1000, 7)


members_lists = st.integers(1, 30).map(nodes)


@given(members_lists, st.integers(1, 7))
def test_copies_lie_on_different_members(members: list[bytes], copies: int) -> None:
    for piece in pieces(20):
        holders = copy_holders(placed(members, copies=copies), piece)
        assert len(set(holders)) == len(holders) == min(copies, len(members))
        assert set(holders) == set(copy_holders(placed(members[::-1], copies=copies), piece))


@given(st.integers(6, 30).map(nodes))
def test_one_member_less_moves_only_its_copies(members: list[bytes]) -> None:
    before, after = placed(members), placed(members[1:])
    for piece in pieces(50):
        lost = set(copy_holders(before, piece)) - set(copy_holders(after, piece))
        assert lost <= {members[0]}


@given(members_lists, st.integers(1, 40))
def test_a_stripe_is_spread_as_evenly_as_can_be(members: list[bytes], shards: int) -> None:
    held = Counter(stripe_holders(members, pieces(shards)))
    counts = [held[member] for member in members]
    assert sum(counts) == shards
    assert max(counts) - min(counts) <= 1


def test_one_member_less_moves_its_shards_and_few_others() -> None:
    members = nodes(20)
    moved = total = 0
    for number in range(100):
        shards = pieces(12, f"stripe {number}")
        before, after = stripe_holders(members, shards), stripe_holders(members[1:], shards)
        moved += sum(a != b and a != members[0] for a, b in zip(before, after, strict=True))
        total += len(shards)
    assert moved / total < 0.06


def test_pieces_are_balanced_over_members() -> None:
    members = nodes(10)
    held: Counter[bytes] = Counter()
    for piece in pieces(4000):
        held.update(copy_holders(placed(members), piece))
    assert max(held.values()) / (4000 * 5 / 10) < 1.1
    assert min(held.values()) / (4000 * 5 / 10) > 0.9


# Bytes


@given(st.integers(1, 700), st.integers(1, 7), st.integers(0, 2**63), st.sampled_from([COPIES, Scheme(100, 20)]))
def test_a_placement_survives_its_bytes(members: int, copies: int, size: int, scheme: Scheme) -> None:
    placement = Placement(CID, OWNER, scheme, copies, tuple(nodes(members)), size, 9)
    assert decode_placement(CID, encode_placement(placement), 9) == placement


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 2},
        {"members": []},
        {"members": [nodes(1)[0]] * 2},
        {"members": [b"short"]},
        {"members": nodes(MAX_MEMBERS + 1)},
        {"copies": 0},
        {"copies": MAX_MEMBERS + 1},
        {"scheme": {"dataShards": 0, "parityShards": 0}},
        {"scheme": {"dataShards": 9, "parityShards": 0}},
        {"owner": b"nobody"},
    ],
)
def test_nonsense_is_refused(wrong: dict[str, object]) -> None:
    fields: dict[str, object] = {
        "version": 1,
        "owner": bytes(OWNER),
        "scheme": {"dataShards": 1, "parityShards": 0},
        "copies": 5,
        "members": nodes(3),
        "size": 1,
    }
    assert decode_placement(CID, encode("objects/object.capnp:Placement", **fields)).copies == 5
    with pytest.raises(BadInput):
        decode_placement(CID, encode("objects/object.capnp:Placement", **{**fields, **wrong}))


@given(st.binary(max_size=400))
def test_noise_is_refused_or_harmless(noise: bytes) -> None:
    try:
        decode_placement(CID, noise)
    except InosError:
        return


@given(st.data())
def test_a_flipped_bit_is_refused_or_another_sound_placement(data: st.DataObject) -> None:
    value = bytearray(encode_placement(placed(nodes(5))))
    at = data.draw(st.integers(0, len(value) * 8 - 1))
    value[at // 8] ^= 1 << at % 8
    try:
        decode_placement(CID, bytes(value))
    except InosError:
        return


# Choosing members

candidates_lists = st.lists(
    st.builds(
        Candidate,
        key=st.sampled_from(nodes(40)),
        weight=st.floats(0.1, 100),
        load=st.floats(0, 1),
        region=st.sampled_from(["", "eu", "us"]),
    ),
    unique_by=lambda candidate: candidate.key,
    max_size=25,
)


@given(candidates_lists, st.integers(1, 30), st.lists(st.sampled_from(nodes(6)), unique=True, max_size=4))
def test_chosen_members(candidates: list[Candidate], wanted: int, keep: list[bytes]) -> None:
    chosen = choose_members(b"seed", wanted, candidates, keep)
    there = {candidate.key: candidate for candidate in candidates}
    assert list(chosen[: len(keep)]) == keep
    assert len(set(chosen)) == len(chosen) == max(len(keep), min(wanted, len(set(keep) | set(there))))
    others = [there[key] for key in chosen[len(keep) :]]
    left_light = [one for one in candidates if one.key not in chosen and one.load < 0.5]
    assert not (left_light and any(one.load >= 0.5 for one in others))  # nobody full while somebody has room
    assert chosen == choose_members(b"seed", wanted, candidates[::-1], keep)


def test_members_are_spread_over_regions() -> None:
    candidates = [Candidate(key, 1.0, 0.0, "eu" if number < 9 else "us") for number, key in enumerate(nodes(12))]
    region = {candidate.key: candidate.region for candidate in candidates}
    for seed in range(50):
        chosen = choose_members(b"%d" % seed, 5, candidates)
        assert Counter(region[key] for key in chosen)["us"] >= 2


def test_the_least_loaded_of_the_loaded_come_first() -> None:
    candidates = [Candidate(key, 1.0, 0.5 + number / 10) for number, key in enumerate(nodes(4))]
    assert choose_members(b"seed", 2, candidates) == tuple(nodes(2))
