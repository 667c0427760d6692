"""The bulk lane: moving chunks between nodes, kept apart from ordinary calls.

Chunk bytes travel in a frame's body, pulled or pushed at most one body (1 MiB and a little) at a time, so no peer ever
has more than that outstanding a request. A lane over plain TLS can take this module's place without anything above
noticing. Methods: `chunk.get`, `chunk.put`, `chunk.have`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from inos.core.codec import encode, reading
from inos.core.env import Env
from inos.core.errors import BadFrame, Corrupt
from inos.core.ids import Address, PeerId
from inos.crypto.hashing import address_of
from inos.mesh.network import MAX_BODY_BYTES, Calls, Message

GET, PUT, HAVE = "chunk.get", "chunk.put", "chunk.have"
_REQUEST: Final = "p2p/chunks.capnp:ChunkRequest"
_BATCH: Final = "p2p/chunks.capnp:ChunkBatch"
_LIST: Final = "p2p/chunks.capnp:AddressList"
# 36 bytes an address with its framing: a list of this many stays well under a payload's megabyte.
MAX_ADDRESSES: Final = 8192
_MAX_LIST_BYTES: Final = MAX_ADDRESSES * 48 + 1024
# A 1 MiB chunk takes 10 ms on a local network and 1 s on a slow uplink.
TRANSFER_TIMEOUT_S: Final = 20.0
QUERY_TIMEOUT_S: Final = 5.0

Chunk = tuple[Address, bytes]


class ChunkHome(Protocol):
    """What a node serves chunks from."""

    def get(self, address: Address) -> bytes: ...

    def present(self, addresses: Sequence[Address]) -> frozenset[Address]: ...

    def put_many(self, chunks: Sequence[Chunk]) -> None: ...


async def get_chunk(calls: Calls, peer: PeerId, address: Address, *, timeout_s: float = TRANSFER_TIMEOUT_S) -> bytes:
    """The chunk from `peer`, checked against its address. Corrupt when the peer sent other bytes."""
    request = Message(encode(_REQUEST, address=bytes(address)))
    answer = await calls.call(peer, GET, request, timeout_s=timeout_s)
    if address_of(answer.body) != address:
        raise Corrupt(f"node {peer.short()} sent other bytes than chunk {address!r}")
    return answer.body


async def put_chunks(calls: Calls, peer: PeerId, chunks: Sequence[Chunk]) -> None:
    """Store `chunks` on `peer`; they are synced there when this returns."""
    for batch in batched(chunks):
        payload = encode_batch(batch)
        body = b"".join(data for _, data in batch) if len(batch) > 1 else batch[0][1]
        await calls.call(peer, PUT, Message(payload, body), timeout_s=TRANSFER_TIMEOUT_S)


async def have_chunks(calls: Calls, peer: PeerId, addresses: Sequence[Address]) -> frozenset[Address]:
    """Which of `addresses` the peer's index names: a hint where to pull from, never a counted copy."""
    found: set[Address] = set()
    for start in range(0, len(addresses), MAX_ADDRESSES):
        wanted = addresses[start : start + MAX_ADDRESSES]
        answer = await calls.call(peer, HAVE, Message(encode_addresses(wanted)), timeout_s=QUERY_TIMEOUT_S)
        found.update(decode_addresses(answer.payload))
    return frozenset(found.intersection(addresses))


def serve_chunks(calls: Calls, home: ChunkHome, env: Env) -> None:
    """Answer the three methods from `home`."""

    async def get(_peer: PeerId, request: Message) -> Message:
        return Message(b"", await env.in_thread(home.get, decode_wanted(request.payload)))

    async def put(_peer: PeerId, request: Message) -> Message:
        chunks = decode_batch(request.payload, request.body)
        await env.in_thread(home.put_many, chunks)
        return Message()

    async def have(_peer: PeerId, request: Message) -> Message:
        present = await env.in_thread(home.present, decode_addresses(request.payload))
        return Message(encode_addresses(sorted(present)))

    calls.serve(GET, get)
    calls.serve(PUT, put)
    calls.serve(HAVE, have)


def batched(chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    """Runs of chunks that fit one body each, in order."""
    batch: list[Chunk] = []
    size = 0
    for chunk in chunks:
        if batch and (size + len(chunk[1]) > MAX_BODY_BYTES or len(batch) >= MAX_ADDRESSES):
            yield batch
            batch, size = [], 0
        batch.append(chunk)
        size += len(chunk[1])
    if batch:
        yield batch


def batch_fields(chunks: Sequence[Chunk]) -> dict[str, list[bytes] | list[int]]:
    """The ChunkBatch struct that describes a body made of `chunks` end to end."""
    return {"addresses": [bytes(address) for address, _ in chunks], "sizes": [len(data) for _, data in chunks]}


def encode_batch(chunks: Sequence[Chunk]) -> bytes:
    return encode(_BATCH, **batch_fields(chunks))


def decode_batch(payload: bytes, body: bytes) -> list[Chunk]:
    """The chunks of a body, not yet checked against their addresses (the store does)."""
    with reading(_BATCH, payload, max_bytes=_MAX_LIST_BYTES) as r:
        addresses = [Address(address) for address in r.addresses]
        sizes = list(r.sizes)
    chunks, rest = cut_body(addresses, sizes, body, 0)
    if rest != len(body):
        raise BadFrame(f"a batch names {rest} bytes and carries {len(body)}")
    return chunks


def cut_body(addresses: Sequence[Address], sizes: Sequence[int], body: bytes, start: int) -> tuple[list[Chunk], int]:
    """Chunks cut from `body` from `start` on, and where they end. BadFrame when the body is too short."""
    if len(addresses) != len(sizes) or len(addresses) > MAX_ADDRESSES:
        raise BadFrame(f"a batch of {len(addresses)} addresses and {len(sizes)} sizes")
    chunks = []
    for address, size in zip(addresses, sizes, strict=True):
        if start + size > len(body):
            raise BadFrame("a batch names more bytes than its body carries")
        whole = start == 0 and size == len(body)  # the common case, one large chunk, is not copied
        chunks.append((address, body if whole else body[start : start + size]))
        start += size
    return chunks, start


def decode_wanted(payload: bytes) -> Address:
    """The chunk that is asked for."""
    with reading(_REQUEST, payload, max_bytes=256) as r:
        return Address(r.address)


def encode_addresses(addresses: Sequence[Address]) -> bytes:
    return encode(_LIST, addresses=[bytes(address) for address in addresses])


def decode_addresses(payload: bytes) -> list[Address]:
    with reading(_LIST, payload, max_bytes=_MAX_LIST_BYTES) as r:
        if len(r.addresses) > MAX_ADDRESSES:
            raise BadFrame(f"{len(r.addresses)} addresses in one call, over the limit of {MAX_ADDRESSES}")
        return [Address(address) for address in r.addresses]
