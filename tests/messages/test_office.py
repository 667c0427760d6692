"""Who takes over, and when: pure decisions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inos.core.errors import BadFrame, BadInput, Conflict, NewerFormat, Refused
from inos.core.ids import OwnerId
from inos.crypto.signing import SigningKey
from inos.messages.hub_record import TABLE, HubRecord, decode_hub, encode_hub, hub_table, key_of, sign_hub
from inos.messages.office import (
    FIRST_AFTER_S,
    MAX_TERM,
    MAX_TURNS,
    TAKE_OVER_AFTER_S,
    TURN_S,
    Seen,
    Wish,
    decide,
    following,
    knows_enough,
)
from inos.state.merge import supersedes
from inos.state.records import sign_record

ME, OTHER = bytes(32), bytes(range(32))
HUB = HubRecord(OTHER, 3, 5)
SEEN = Seen(ME, "standby", HUB, silent_s=1e6, running_s=1e6, turn=0, majority=True)


@given(st.sampled_from(("none", "hub", "standby")), st.floats(0, 1e6), st.integers(0, 30), st.booleans())
def test_whoever_the_record_names_serves(wish: Wish, silent_s: float, turn: int, majority: bool) -> None:
    assert decide(Seen(ME, wish, HubRecord(ME, 1, 0), silent_s, 0, turn, majority)) == "serve"


def test_a_standby_waits_for_its_turn_and_no_longer() -> None:
    for turn in range(MAX_TURNS + 5):
        at_s = TAKE_OVER_AFTER_S + TURN_S * min(turn, MAX_TURNS)
        assert decide(replace(SEEN, turn=turn, silent_s=at_s - 0.1)) == "stay"
        assert decide(replace(SEEN, turn=turn, silent_s=at_s)) == "take"


def test_nobody_takes_over_who_is_not_meant_to_or_sees_too_little() -> None:
    assert decide(replace(SEEN, wish="none")) == "stay"
    assert decide(replace(SEEN, majority=False)) == "stay"
    assert decide(replace(SEEN, wish="hub")) == "take"


def test_the_first_hub_is_one_that_was_asked_to_be() -> None:
    assert decide(replace(SEEN, record=None)) == "stay"
    assert decide(replace(SEEN, record=None, wish="hub")) == "take"
    assert decide(replace(SEEN, record=None, wish="hub", running_s=FIRST_AFTER_S - 0.1)) == "stay"
    assert decide(replace(SEEN, record=None, wish="hub", turn=2, running_s=FIRST_AFTER_S + TURN_S)) == "stay"


def test_how_much_of_the_mesh_is_enough() -> None:
    assert knows_enough(1, 1) and knows_enough(2, 1) and knows_enough(3, 2) and knows_enough(5, 3)
    assert not knows_enough(3, 1) and not knows_enough(4, 2) and not knows_enough(5, 2)


def test_each_taking_over_is_a_term() -> None:
    first = following(None, ME, 7)
    assert first == HubRecord(ME, 1, 7)
    assert following(first, OTHER, -5) == HubRecord(OTHER, 2, 0)
    assert following(first, OTHER, 0, after=8) == following(HubRecord(ME, 8, 0), OTHER, 0, after=3)
    with pytest.raises(Conflict, match="term 99,999,999"):
        following(first, OTHER, 0, after=MAX_TERM)


def test_records_of_hubs_are_their_owners_alone() -> None:
    key, table = SigningKey(bytes(32)), hub_table()
    record = sign_hub(key, HUB, 9)
    assert record.key == key_of(OwnerId(key.public_key)) and decode_hub(record.value) == HUB
    table.validate(record)
    table.authorise(record, None)
    assert supersedes(sign_hub(key, following(HUB, ME, 1), 10), record)
    stranger = SigningKey(bytes([1] * 32))
    with pytest.raises(Refused, match="only the owner"):
        table.authorise(sign_record(stranger, TABLE, record.key, record.value, 10), record)
    with pytest.raises(BadInput, match="never removed"):
        table.validate(sign_record(key, TABLE, record.key, b"", 10, removed=True))
    with pytest.raises(BadInput):
        table.validate(sign_record(key, TABLE, b"short", record.value, 10))


@pytest.mark.parametrize("wrong", [HubRecord(b"short", 1, 0), HubRecord(ME, 0, 0)])
def test_records_of_nothing_are_refused(wrong: HubRecord) -> None:
    with pytest.raises(BadFrame):
        decode_hub(encode_hub(wrong))


def test_golden_record() -> None:
    golden = bytes.fromhex(
        "0000000009000000000000000300010001000000000000000300000000000000050000000000000001000000020100"
        "00000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    )
    assert decode_hub(golden) == HUB
    with pytest.raises(NewerFormat):
        decode_hub(golden[:16] + b"\2" + golden[17:])
