"""Holding on the wire: what comes back as it was, and what is refused before anything is done."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inos.core.codec import encode
from inos.core.errors import BadFrame
from inos.core.ids import Cid
from inos.crypto.hashing import address_of
from inos.replication.hold_calls import MAX_HOLDS, decode_asked, decode_holds, decode_states, encode_states
from inos.replication.holder import HoldState

HOLD, STATES, ANSWER = (f"p2p/chunks.capnp:{name}" for name in ("HoldBatch", "StateRequest", "HoldAnswer"))
cids = st.binary(min_size=32, max_size=32).map(Cid)
counts = st.integers(0, 2**32 - 1)
states = st.builds(HoldState, cids, counts, counts, st.text(max_size=20), st.integers(0, 2**48))
bodies = st.lists(st.lists(st.binary(max_size=40), max_size=3), max_size=4)


@given(st.lists(states, max_size=5))
def test_states_come_back_as_they_were(given_states: list[HoldState]) -> None:
    assert decode_states(encode_states(given_states)) == given_states


@given(bodies, st.booleans())
def test_each_request_gets_its_own_chunks(data: list[list[bytes]], fetch: bool) -> None:
    requests = [
        {
            "placement": b"record %d" % number,
            "chunks": {"addresses": [bytes(address_of(each)) for each in own], "sizes": [len(each) for each in own]},
            "fetch": fetch,
        }
        for number, own in enumerate(data)
    ]
    decoded = decode_holds(encode(HOLD, requests=requests), b"".join(each for own in data for each in own))
    assert [request.record for request in decoded] == [b"record %d" % number for number in range(len(data))]
    assert [request.chunks for request in decoded] == [tuple((address_of(e), e) for e in own) for own in data]
    assert all(request.fetch is fetch for request in decoded)


def test_a_body_too_short_for_what_is_named() -> None:
    batch = {"addresses": [bytes(32)], "sizes": [4]}
    payload = encode(HOLD, requests=[{"placement": b"a", "chunks": batch}, {"placement": b"b", "chunks": batch}])
    assert len(decode_holds(payload, bytes(8))) == 2
    with pytest.raises(BadFrame):
        decode_holds(payload, bytes(7))


def test_a_call_has_a_limit_of_objects() -> None:
    cid = bytes(32)
    assert decode_asked(encode(STATES, cids=[cid] * MAX_HOLDS, verify=True)) == ([Cid(cid)] * MAX_HOLDS, True)
    with pytest.raises(BadFrame, match="over the limit"):
        decode_asked(encode(STATES, cids=[cid] * (MAX_HOLDS + 1)))
    with pytest.raises(BadFrame, match="over the limit"):
        decode_holds(encode(HOLD, requests=[{"placement": b"x"}] * (MAX_HOLDS + 1)), b"")


@pytest.mark.parametrize("size", [0, 31, 33])
def test_what_is_no_cid_is_refused(size: int) -> None:
    with pytest.raises(BadFrame):
        decode_asked(encode(STATES, cids=[bytes(size)]))
    with pytest.raises(BadFrame):
        decode_states(encode(ANSWER, states=[{"cid": bytes(size)}]))
