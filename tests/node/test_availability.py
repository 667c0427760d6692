"""What was measured of the others survives a restart; what cannot be read of it is measured again."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from inos.core.ids import PeerId
from inos.mesh.liveness import Observed
from inos.node.availability import MAX_PEERS, SAVE_EVERY_S, decode_observed, encode_observed
from inos.sim.cluster import open_cluster
from inos.testing.run import sim_test

PEERS = [PeerId.from_public_key(bytes([number]) * 32) for number in range(5)]
SECONDS = st.floats(0, 1e9)
MEASURED = st.dictionaries(
    st.sampled_from(PEERS), st.tuples(SECONDS, st.floats(0, 1)).map(lambda one: Observed(one[0], one[0] * one[1]))
)


@given(MEASURED)
def test_it_comes_back_as_it_was(measured: dict[PeerId, Observed]) -> None:
    assert decode_observed(encode_observed(measured)) == measured


@given(st.binary() | st.recursive(st.none() | st.text(), lambda x: st.dictionaries(st.text(), x)).map(
    lambda value: json.dumps({"version": 1, "peers": value}).encode()
))  # fmt: skip
def test_garbage_is_as_good_as_nothing(kept: bytes) -> None:
    assert decode_observed(kept) == {}


def test_what_cannot_be_is_left_out() -> None:
    sound, more = PEERS[0], PEERS[1]
    for seconds in ([1, 2], [-1, -1], [float("nan"), 0], [float("inf"), 1]):
        kept = json.dumps({"version": 1, "peers": {sound: [5, 4], more: seconds}}).encode()
        assert decode_observed(kept) == {sound: Observed(5, 4)}


def test_the_longest_are_kept() -> None:
    many = {PeerId.from_public_key(number.to_bytes(32, "big")): Observed(number, 0) for number in range(MAX_PEERS + 10)}
    kept = decode_observed(encode_observed(many))
    assert len(kept) == MAX_PEERS and min(one.observed_s for one in kept.values()) == 10


@sim_test
async def test_a_restart_goes_on_measuring() -> None:
    async with open_cluster(3) as cluster:
        watcher, watched = cluster.nodes[0], cluster.nodes[2]
        await watched.crash()
        await cluster.passes(2 * SAVE_EVERY_S)
        peer = watched.peer
        before = watcher.core.meeting.liveness.availability(peer)
        assert before < 0.945  # nothing measured is 0.95
        await watcher.crash()
        await watcher.start()
        after = watcher.core.meeting.liveness.availability(peer)
        assert before <= after < 0.945  # a crash loses one round at most
