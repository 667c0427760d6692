"""The bulk lane: what fits one body, what a batch must add up to, and chunks over a network."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inos.core.codec import encode
from inos.core.errors import BadFrame, BadInput, Corrupt, NotFound
from inos.core.ids import Address, PeerId
from inos.crypto.hashing import address_of
from inos.mesh.network import MAX_BODY_BYTES, Message
from inos.replication.bulk import (
    GET,
    HAVE,
    MAX_ADDRESSES,
    Chunk,
    batched,
    cut_body,
    decode_addresses,
    decode_batch,
    encode_addresses,
    encode_batch,
    get_chunk,
    have_chunks,
    put_chunks,
    serve_chunks,
)
from inos.sim.fabric import MemoryFabric
from inos.store.memory_chunks import MemoryChunkStore
from inos.testing.env import SimEnv
from inos.testing.members import fixed_key
from inos.testing.run import sim_test


def numbered(number: int) -> Address:
    return Address(number.to_bytes(32, "big"))


def chunk(data: bytes) -> Chunk:
    return address_of(data), data


def sized(*sizes: int) -> list[Chunk]:
    return [(numbered(number), bytes(size)) for number, size in enumerate(sizes)]


@given(st.lists(st.sampled_from([0, 1, 1000, 300_000, 1 << 20]), max_size=30))
def test_batches_are_all_of_it_in_order_and_each_fits(sizes: list[int]) -> None:
    chunks = sized(*sizes)
    batches = list(batched(chunks))
    assert [each for batch in batches for each in batch] == chunks
    for batch in batches:
        assert batch
        assert sum(len(data) for _, data in batch) <= MAX_BODY_BYTES
    for batch, following in pairwise(batches):  # none is smaller than it must be
        assert sum(len(data) for _, data in batch) + len(following[0][1]) > MAX_BODY_BYTES


def test_a_batch_has_no_more_chunks_than_may_be_named() -> None:
    assert [len(batch) for batch in batched(sized(*[0] * (MAX_ADDRESSES + 3)))] == [MAX_ADDRESSES, 3]


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=6))
def test_a_batch_comes_back_as_it_was(data: list[bytes]) -> None:
    chunks = [chunk(each) for each in data]
    assert decode_batch(encode_batch(chunks), b"".join(data)) == chunks


@pytest.mark.parametrize("body", [b"", b"abcd", b"abcdefg", b"abcdef" * 2])
def test_a_body_of_another_length_than_its_batch_names(body: bytes) -> None:
    with pytest.raises(BadFrame):
        decode_batch(encode_batch(sized(2, 4)), body)


@pytest.mark.parametrize(
    ("addresses", "sizes"),
    [(2, [6]), (1, [3, 3]), (0, [6]), (2, [2**32 - 1, 6]), (MAX_ADDRESSES + 1, [0] * (MAX_ADDRESSES + 1))],
)
def test_names_and_sizes_that_do_not_belong_together(addresses: int, sizes: list[int]) -> None:
    with pytest.raises(BadFrame):
        cut_body([numbered(number) for number in range(addresses)], sizes, b"abcdef", 0)


def test_one_whole_chunk_is_not_copied_and_others_are_cut_where_the_last_ended() -> None:
    body = b"abcdef"
    ((_, whole),), end = cut_body([numbered(0)], [6], body, 0)
    assert whole is body
    assert end == 6
    assert cut_body([numbered(1), numbered(2)], [1, 2], body, 2) == ([(numbered(1), b"c"), (numbered(2), b"de")], 5)


def test_a_list_of_addresses_has_a_limit() -> None:
    most = [numbered(number) for number in range(MAX_ADDRESSES)]
    assert decode_addresses(encode_addresses(most)) == most
    with pytest.raises(BadFrame):
        decode_addresses(encode_addresses([*most, numbered(MAX_ADDRESSES)]))
    with pytest.raises(BadFrame):
        decode_addresses(encode("p2p/chunks.capnp:AddressList", addresses=[bytes(31)]))


class _Open:
    def admits(self, _peer: PeerId) -> bool:
        return True

    def hello(self) -> bytes:
        return b""

    def welcome(self, _peer: PeerId, _hello: bytes) -> None:
        """Everybody is a member here."""


class Pair:
    """A node, and another one that serves a store."""

    def __init__(self) -> None:
        self.env = SimEnv()
        fabric = MemoryFabric(self.env)
        self.near, self.far = (
            fabric.join(PeerId.from_public_key(fixed_key("bulk", name).public_key), _Open()) for name in ("near", "far")
        )
        self.store = MemoryChunkStore(self.env)

    async def serve(self) -> PeerId:
        """Serves the store, and is connected to; the peer to ask."""
        serve_chunks(self.far, self.store, self.env)
        return await self.near.connect(self.far.addresses(), timeout_s=5)


@sim_test
async def test_what_is_put_is_had_and_got() -> None:
    pair = Pair()
    far = await pair.serve()
    chunks = [chunk(bytes([number]) * size) for number, size in enumerate((0, 10, 700_000, 700_000, 1 << 20))]
    await put_chunks(pair.near, far, chunks)
    assert dict(chunks) == {address: pair.store.get(address) for address, _ in chunks}
    absent = numbered(7)
    assert await have_chunks(pair.near, far, [absent, *dict(chunks)]) == set(dict(chunks))
    assert await have_chunks(pair.near, far, []) == frozenset()
    for address, data in chunks:
        assert await get_chunk(pair.near, far, address) == data
    with pytest.raises(NotFound):
        await get_chunk(pair.near, far, absent)


@sim_test
async def test_chunks_that_are_not_what_they_are_named_are_refused_there() -> None:
    pair = Pair()
    far = await pair.serve()
    with pytest.raises(BadInput, match="are not that chunk"):
        await put_chunks(pair.near, far, [chunk(b"true"), (address_of(b"name"), b"other")])
    assert await have_chunks(pair.near, far, [address_of(b"true"), address_of(b"name")]) == frozenset()


@sim_test
async def test_a_liar_is_found_out() -> None:
    pair = Pair()

    async def other_bytes(_peer: PeerId, _request: Message) -> Message:
        return Message(b"", b"other")

    async def everything_and_more(_peer: PeerId, request: Message) -> Message:
        return Message(encode_addresses([*decode_addresses(request.payload), numbered(99)]))

    pair.far.serve(GET, other_bytes)
    pair.far.serve(HAVE, everything_and_more)
    far = await pair.near.connect(pair.far.addresses(), timeout_s=5)
    with pytest.raises(Corrupt, match="other bytes"):
        await get_chunk(pair.near, far, address_of(b"mine"))
    assert await have_chunks(pair.near, far, [numbered(1)]) == {numbered(1)}  # only what was asked about
