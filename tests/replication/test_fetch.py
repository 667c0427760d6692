"""Fetching pieces from peers that are slow, silent, empty-handed or lying."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio

from inos.core.errors import Corrupt, NotFound, Unavailable
from inos.core.ids import Address, PeerId
from inos.crypto.hashing import address_of
from inos.mesh.network import Message
from inos.objects.erasure import encode_parity
from inos.replication.bulk import GET, serve_chunks
from inos.replication.durability import Group
from inos.replication.fetch import MAX_HEDGES, Fetcher, Stripe
from inos.replication.scores import Scores
from inos.sim.cluster import fixed_bytes
from inos.sim.fabric import MemoryFabric
from inos.sim.network import MemoryNetwork
from inos.store.memory_chunks import MemoryChunkStore
from inos.testing.env import SimEnv
from inos.testing.members import fixed_key
from inos.testing.run import sim_test


class _Open:
    def admits(self, _peer: PeerId) -> bool:
        return True

    def hello(self) -> bytes:
        return b""

    def welcome(self, _peer: PeerId, _hello: bytes) -> None:
        """Everybody is a member here."""


class Peers:
    """Node 0 fetches; the others serve what their stores have."""

    def __init__(self, count: int) -> None:
        self.env = SimEnv()
        self.fabric = MemoryFabric(self.env, latency_s=0.001)
        self.keys = [fixed_key("fetch", number).public_key for number in range(count)]
        self.peers = list(map(PeerId.from_public_key, self.keys))
        self.networks: list[MemoryNetwork] = [self.fabric.join(peer, _Open()) for peer in self.peers]
        self.stores = [MemoryChunkStore(self.env) for _ in range(count)]
        self.scores = Scores()
        self.asked: list[int] = []
        self.fetcher = Fetcher(self.keys[0], self.networks[0], self.stores[0], self, self.scores, self.env)

    async def meet(self) -> None:
        for number, network in enumerate(self.networks[1:], 1):
            serve_chunks(_Counted(network, number, self.asked), self.stores[number], self.env)  # type: ignore[arg-type]
            await self.networks[0].connect(network.addresses(), timeout_s=5)

    def alive(self, member: bytes) -> bool:
        return member in self.keys

    def alive_members(self) -> Sequence[bytes]:
        return self.keys


class _Counted:
    """Notes who is asked for chunks."""

    def __init__(self, network: MemoryNetwork, number: int, asked: list[int]) -> None:
        self._network, self._number, self._asked = network, number, asked

    def serve(self, method, handler):  # type: ignore[no-untyped-def]
        async def noted(peer: PeerId, request: Message) -> Message:
            if method == GET:
                self._asked.append(self._number)
            answer: Message = await handler(peer, request)
            return answer

        self._network.serve(method, noted)


async def meeting(count: int) -> Peers:
    peers = Peers(count)
    await peers.meet()
    return peers


def chunk(label: object, size: int = 1000) -> tuple[Address, bytes]:
    data = fixed_bytes(size, "fetch", label)
    return address_of(data), data


@sim_test
async def test_this_disk_comes_first() -> None:
    peers = await meeting(2)
    address, data = chunk(1)
    for store in peers.stores:
        store.put_many([(address, data)])
    assert await peers.fetcher.piece(address, peers.keys) == data
    assert peers.asked == []
    assert await peers.fetcher.piece(address, peers.keys, local=False) == data
    assert peers.asked == [1]


@sim_test
async def test_a_slow_peer_is_hedged_by_the_next() -> None:
    peers = await meeting(3)
    address, data = chunk(1)
    for store in peers.stores[1:]:
        store.put_many([(address, data)])
    slow = peers.scores.best_first(peers.keys[1:])[0]
    peers.fabric.set_latency(peers.peers[0], PeerId.from_public_key(slow), 5.0)
    assert await peers.fetcher.piece(address, peers.keys) == data
    assert trio.current_time() < 1
    assert peers.scores.hedge_after_s(slow) <= 2.0


@sim_test
async def test_a_silent_peer_costs_no_more_than_a_hedge_and_few_are_asked_at_once() -> None:
    peers = await meeting(8)
    address, data = chunk(1)
    order = peers.scores.best_first(peers.keys[1:])
    peers.stores[peers.keys.index(order[-1])].put_many([(address, data)])
    for silent in order[:2]:
        peers.fabric.cut(peers.peers[0], PeerId.from_public_key(silent))
    assert await peers.fetcher.piece(address, peers.keys) == data
    assert trio.current_time() < MAX_HEDGES * 1.0


@sim_test
async def test_wrong_bytes_are_never_given_out() -> None:
    peers = await meeting(3)
    address, data = chunk(1)

    async def lies(_peer: PeerId, _request: Message) -> Message:
        await trio.lowlevel.checkpoint()
        return Message(b"", b"something else")

    liar = peers.scores.best_first(peers.keys[1:])[0]
    number = peers.keys.index(liar)
    peers.fabric.stop(peers.peers[number])
    network = peers.fabric.join(peers.peers[number], _Open())
    network.serve(GET, lies)
    await peers.networks[0].connect(network.addresses(), timeout_s=5)
    peers.stores[3 - number].put_many([(address, data)])
    assert await peers.fetcher.piece(address, peers.keys) == data
    assert peers.scores.best_first(peers.keys[1:])[-1] == liar
    peers.stores[3 - number].remove_many([address])
    with pytest.raises(Unavailable):
        await peers.fetcher.piece(address, peers.keys)


@sim_test
async def test_a_piece_is_found_where_no_placement_would_look() -> None:
    peers = await meeting(4)
    address, data = chunk(1)
    peers.stores[3].put_many([(address, data)])
    group = Group(1, (address, address), (1000, 1000), (peers.keys[1], peers.keys[2]))
    with pytest.raises(Unavailable):
        await peers.fetcher.piece(address, group.holders)
    assert await peers.fetcher.of_group(group, 0) == data
    assert await peers.fetcher.anywhere(address, group.holders) == data
    assert await peers.fetcher.locate([address]) == {address: (peers.keys[3],)}


def stripe(peers: Peers) -> tuple[Group, list[bytes]]:
    """A stripe of 3 + 2 over the nodes 1 to 5, its last chunk shorter."""
    chunks = [fixed_bytes(size, "stripe", size) for size in (1000, 999, 10)]
    shards = chunks + encode_parity(chunks, 2)
    group = Group(3, tuple(map(address_of, shards)), tuple(map(len, shards)), tuple(peers.keys[1:6]))
    for number, shard in enumerate(shards, 1):
        peers.stores[number].put_many([(address_of(shard), shard)])
    return group, shards


@sim_test
async def test_any_three_of_five_shards_bring_back_the_others() -> None:
    for lost in ((0, 1), (0, 4), (2, 3), (3, 4)):
        peers = await meeting(6)
        group, shards = stripe(peers)
        for index in lost:
            peers.stores[index + 1].remove_many([group.addresses[index]])
        together = Stripe(group)
        for index in range(5):
            assert await peers.fetcher.of_stripe(together, index) == shards[index]
        before = len(peers.asked)
        assert await peers.fetcher.of_stripe(Stripe(group), lost[0]) == shards[lost[0]]
        assert len(peers.asked) - before <= 6


@sim_test
async def test_two_of_five_shards_are_not_enough_and_that_is_said() -> None:
    peers = await meeting(6)
    group, _ = stripe(peers)
    for index in (0, 1, 4):
        peers.stores[index + 1].remove_many([group.addresses[index]])
    with pytest.raises(Unavailable, match="2 of the 3"):
        await peers.fetcher.of_group(group, 0)


@sim_test
async def test_a_stripe_whose_parity_is_of_other_chunks_gives_nothing_out() -> None:
    peers = await meeting(6)
    group, _ = stripe(peers)
    other = fixed_bytes(1000, "other parity")
    forged = Group(3, (*group.addresses[:3], address_of(other), address_of(other)), group.sizes, group.holders)
    for number in (4, 5):
        peers.stores[number].put_many([(address_of(other), other)])
    peers.stores[1].remove_many([group.addresses[0]])
    with pytest.raises(Corrupt):
        await peers.fetcher.of_group(forged, 0)


@sim_test
async def test_what_is_here_and_damaged_comes_from_elsewhere() -> None:
    peers = await meeting(2)
    address, data = chunk(1)
    for store in peers.stores:
        store.put_many([(address, data)])
    peers.stores[0]._held[address].data = b"rotten"
    assert await peers.fetcher.piece(address, peers.keys) == data
    with pytest.raises(NotFound):
        peers.stores[0].get(address)
