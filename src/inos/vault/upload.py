"""A large object on its way in: read, sealed, stored and pushed, each stage one batch ahead of the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import trio

from inos.core.crew import open_tasks
from inos.core.env import Env
from inos.core.ids import Address
from inos.objects.chunks import SealedChunk
from inos.objects.manifest import ManifestBuilder
from inos.replication.bulk import Chunk
from inos.replication.scheme import Plan
from inos.vault.blocks import Blocks
from inos.vault.push import Pusher, Shares
from inos.vault.sealing import Piece, SealedStripe, Sealer, batch_chunks

# Batches being sealed at once, each on a thread, while the one after is hashed on another.
SEALING: Final = 2
# Batches being written here at once: while one waits for its syncs, another writes. 512 MiB on two cores shared with
# others, seven alternating runs each, median and worst: one 356 and 98 MB/s, two 337 and 255, three 440 and 336.
STORING: Final = 3


class Home(Protocol):
    def get(self, address: Address) -> bytes: ...

    def present(self, addresses: Sequence[Address]) -> frozenset[Address]: ...

    def put_many(self, chunks: Sequence[Chunk]) -> None: ...


class Upload:
    """One large object on its way: reads, seals, and stores and pushes, each stage one batch ahead of the next."""

    def __init__(
        self,
        home: Home,
        pusher: Pusher,
        env: Env,
        blocks: Blocks,
        sealer: Sealer,
        builder: ManifestBuilder,
        plan: Plan,
        members: tuple[bytes, ...],
    ) -> None:
        self.blocks = blocks
        self.sealer = sealer
        self.builder = builder
        self.plan = plan
        self.members = members
        self._home = home
        self._env = env
        self._pusher = pusher
        self._pushing = trio.Lock()

    async def run(self, spooled: Sequence[SealedChunk]) -> None:
        async with open_tasks() as nursery:
            send_plain, plain = trio.open_memory_channel[bytes](0)
            send_sealing, sealing = trio.open_memory_channel[_Sealing](SEALING - 1)
            send_sealed, sealed = trio.open_memory_channel[list[SealedStripe]](0)
            nursery.start_soon(self._read, send_plain)
            nursery.start_soon(self._seal, nursery, plain, send_sealing)
            nursery.start_soon(self._group, spooled, sealing, send_sealed)
            for _ in range(STORING):
                nursery.start_soon(self._store, sealed.clone())
            sealed.close()

    async def _read(self, out: trio.MemorySendChannel[bytes]) -> None:
        async with out:
            while plain := await self.blocks.read(batch_chunks(self.plan.scheme) * self.sealer.chunk_bytes):
                await out.send(plain)

    async def _seal(
        self,
        nursery: trio.Nursery,
        batches: trio.MemoryReceiveChannel[bytes],
        out: trio.MemorySendChannel[_Sealing],
    ) -> None:
        """Hash one batch after the other while those before are being sealed."""
        async with batches, out:
            async for plain in batches:
                sealing = _Sealing()
                await out.send(sealing)
                nursery.start_soon(sealing.run, self.sealer, plain)
                await self.sealer.hash(plain)

    async def _group(
        self,
        spooled: Sequence[SealedChunk],
        batches: trio.MemoryReceiveChannel[_Sealing],
        out: trio.MemorySendChannel[list[SealedStripe]],
    ) -> None:
        width = self.plan.scheme.data_shards
        async with out:
            # Stripes do not follow the reading any more once there was a spool: carry what does not fill one.
            carried: list[SealedChunk] = []
            step = batch_chunks(self.plan.scheme)
            for start in range(0, len(spooled), step):
                carried += await self._env.in_thread(self._reload, spooled[start : start + step])
                carried = await self._send(carried, width, out)
            async with batches:
                async for sealing in batches:
                    carried += await sealing.chunks()
                    carried = await self._send(carried, width, out)
            if carried:
                await out.send(await self.sealer.stripes(carried))

    async def _send(
        self, chunks: list[SealedChunk], width: int, out: trio.MemorySendChannel[list[SealedStripe]]
    ) -> list[SealedChunk]:
        """Send the whole stripes among `chunks`; what is left over."""
        whole = len(chunks) // width * width
        if whole:
            await out.send(await self.sealer.stripes(chunks[:whole]))
        return chunks[whole:]

    def _reload(self, chunks: Sequence[SealedChunk]) -> list[SealedChunk]:
        return [
            SealedChunk(chunk.address, self._home.get(chunk.address), chunk.key, chunk.plain_size) for chunk in chunks
        ]

    async def _store(self, batches: trio.MemoryReceiveChannel[list[SealedStripe]]) -> None:
        async with batches:
            async for stripes in batches:
                for stripe in stripes:
                    parity: list[Piece] = list(stripe.parity)
                    self.builder.add_stripe(stripe.data, [(address, len(shard)) for address, shard in parity])
                pieces = [piece for stripe in stripes for piece in stripe.pieces]
                shares = self._pusher.shares(stripes)
                if not shares:
                    await self._env.in_thread(self._home.put_many, pieces)
                    continue
                there = await self._env.in_thread(self._home.present, [address for address, _ in pieces])
                async with open_tasks() as nursery:
                    nursery.start_soon(self._env.in_thread, self._home.put_many, pieces)
                    nursery.start_soon(self._push, shares, bool(there))

    async def _push(self, shares: Shares, probably_there: bool) -> None:
        async with self._pushing:  # one batch at a time gets all of a slow member's line, and its time
            await self._pusher.push(shares, probably_there=probably_there)


class _Sealing:
    """A batch that is being sealed."""

    def __init__(self) -> None:
        self._chunks: list[SealedChunk] = []
        self._done = trio.Event()

    async def run(self, sealer: Sealer, plain: bytes) -> None:
        self._chunks = await sealer.seal(plain)
        self._done.set()

    async def chunks(self) -> list[SealedChunk]:
        """What came of it, once it is done."""
        await self._done.wait()
        return self._chunks
