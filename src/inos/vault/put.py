"""Putting an object: seal, store here, spread, have it held, and only then say how safe it is.

The order, which every step relies on: chunks synced on this disk -> pushed to members -> manifest synced here ->
placement record -> members hold (each checks and syncs what it has) -> answer. Up to any point a crash leaves chunks
that the next put of the same file finds again, or that collection frees; after the placement record is written, repair
finishes the job.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import trio

from inos.core.crew import open_tasks
from inos.core.env import Env
from inos.core.errors import BadInput, NotEnoughNodes, Unavailable
from inos.core.ids import Address, Cid, OwnerId
from inos.mesh.network import MAX_BODY_BYTES, Calls
from inos.objects.chunks import CHUNK_BYTES, SealedChunk
from inos.objects.layout import COPIES, INLINE_BYTES, Scheme
from inos.objects.manifest import BuiltObject, ManifestBuilder, build_inline
from inos.objects.reference import Reference
from inos.replication.bulk import Chunk
from inos.replication.durability import UNREADABLE, Group, quorum_losses, survivable_losses
from inos.replication.hold_caller import HoldCaller, States
from inos.replication.layout import read_layout
from inos.replication.placement import Candidate, Placement, choose_members
from inos.replication.placements import Written
from inos.replication.scheme import DEFAULT_RULES, Plan, PlanRules, choose_plan, shards_needed
from inos.vault.blocks import Blocks
from inos.vault.push import Pusher
from inos.vault.sealing import Piece, SealedStripe, Sealer, batch_chunks

LOCAL, QUORUM, REPLICATED = "local", "quorum", "replicated"
_SEED_BYTES: Final = 16


class Home(Protocol):
    def get(self, address: Address) -> bytes: ...

    def present(self, addresses: Sequence[Address]) -> frozenset[Address]: ...

    def put_many(self, chunks: Sequence[Chunk]) -> None: ...


class MeshView(Protocol):
    def alive(self, member: bytes) -> bool: ...

    def candidates(self) -> Sequence[Candidate]: ...


class Book(Protocol):
    """The placement table, as a put writes it."""

    async def found(self, placements: Sequence[Placement]) -> tuple[list[Written], bool]:
        """Write placements of new objects as their owner; and whether a quorum has them all."""

    def known(self, cid: Cid) -> Placement | None: ...

    async def remove(self, cids: Sequence[Cid]) -> bool: ...


@dataclass(frozen=True, slots=True)
class Stored:
    """What a put reached. `survives` counts nodes that may be lost now, `wanted` what the plan promises in the end."""

    reference: Reference
    size: int
    stored_bytes: int
    placement: Placement
    survives: int
    wanted: int
    level: str


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a put must reach or fail: "" (anything), a level, or a number of nodes that hold the whole redundancy."""

    text: str = ""

    def __post_init__(self) -> None:
        if self.text not in ("", LOCAL, QUORUM, REPLICATED) and not (self.text.isdecimal() and int(self.text) > 0):
            raise BadInput(
                f"cannot require {self.text!r}", hint="use local, quorum, replicated, or a number of nodes such as 3"
            )

    def check_possible(self, alive: int) -> None:
        """Refuse before reading gigabytes what cannot work."""
        needed = int(self.text) if self.text.isdecimal() else 2 if self.text in (QUORUM, REPLICATED) else 1
        if alive < needed:
            raise NotEnoughNodes(
                f"{self.text or needed} was required and {alive} node{'s' * (alive != 1)} can be reached",
                hint="start more nodes, or put with a lower --require; 'inos peers' shows who is there",
            )

    def is_met(self, level: str, holding: int) -> bool:
        """Whether `level`, with `holding` nodes that have all of their pieces, is what was asked for."""
        order = (LOCAL, QUORUM, REPLICATED)
        if self.text.isdecimal():
            return holding >= int(self.text)
        return not self.text or order.index(level) >= order.index(self.text)

    def check_reached(self, level: str, holding: int) -> None:
        """Raises NotEnoughNodes unless it is met."""
        if not self.is_met(level, holding):
            raise NotEnoughNodes(
                f"{self.text} was required; {holding} nodes hold the object, which reaches {level}",
                hint="start more nodes and put again, or put with a lower --require",
            )


class Putter:
    """Puts objects for one owner on one node. `me` is the node's public key."""

    def __init__(
        self,
        me: bytes,
        owner: OwnerId,
        secret: bytes,
        home: Home,
        book: Book,
        holders: HoldCaller,
        view: MeshView,
        calls: Calls,
        env: Env,
        rules: PlanRules = DEFAULT_RULES,
    ) -> None:
        self._me = me
        self._owner = owner
        self._secret = secret
        self._home = home
        self._book = book
        self._holders = holders
        self._view = view
        self._calls = calls
        self._env = env
        self._rules = rules
        self._running: dict[int, float] = {}
        self._tickets = itertools.count()

    def running_for_s(self) -> float:
        """For how long the longest running put has been at it: chunks younger than that may belong to it."""
        return max((self._env.monotonic_s() - start_s for start_s in self._running.values()), default=0.0)

    @contextmanager
    def _busy(self) -> Iterator[None]:
        ticket = next(self._tickets)
        self._running[ticket] = self._env.monotonic_s()
        try:
            yield
        finally:
            del self._running[ticket]

    async def put(self, source: AsyncIterator[bytes], name: str, size: int | None, requirement: Requirement) -> Stored:
        """Store everything `source` gives. Raises what `source` raises, StorageFull, NotEnoughNodes, Unavailable."""
        requirement.check_possible(len(self._view.candidates()))
        async with _closed_at_the_end(source):
            return await self._put(source, name, size, requirement)

    async def _put(self, source: AsyncIterator[bytes], name: str, size: int | None, requirement: Requirement) -> Stored:
        with self._busy():
            blocks = Blocks(source)
            head = await blocks.read(INLINE_BYTES + 1)
            if len(head) <= INLINE_BYTES:
                (stored,) = await self.put_small([(name, head)], requirement)
                return stored
            blocks.unread(head)
            return await self._put_large(blocks, name, size, requirement)

    async def put_small(self, items: Sequence[tuple[str, bytes]], requirement: Requirement) -> list[Stored]:
        """Store several contents of at most INLINE_BYTES each, all together."""
        requirement.check_possible(len(self._view.candidates()))
        with self._busy():
            built = await self._env.in_thread(self._build_small, items)
            objects = list({one.reference.cid: one for one in built}.values())
            stored = await self._store_small(objects, requirement)
        return [stored[one.reference.cid] for one in built]

    async def _store_small(self, objects: Sequence[BuiltObject], requirement: Requirement) -> dict[Cid, Stored]:
        chunks = [list(one.manifest_chunks) for one in objects]
        await self._env.in_thread(self._home.put_many, [chunk for some in chunks for chunk in some])
        plan, members = self._plan(max((one.size for one in objects), default=0))
        fresh = [one.reference.cid for one in objects if self._book.known(one.reference.cid) is None]
        written, agreed = await self._book.found([self._placement(one, plan, members) for one in objects])
        states = await self._holders.many(written, chunks)
        stored = {}
        try:
            for one, entry, holders in zip(objects, written, states, strict=True):
                good = [member for member, state in holders.items() if state.completes(entry.placement)]
                stored[one.reference.cid] = self._stored(one, entry.placement, plan, len(good) - 1, agreed)
                requirement.check_reached(stored[one.reference.cid].level, len(good))
        except (NotEnoughNodes, Unavailable):
            await self._withdraw(fresh)
            raise
        return stored

    async def found_again(self, cid: Cid) -> None:
        """Write a placement for an object of this owner that was removed and whose pieces are still there; repair sees
        to the rest. Raises NotFound or Corrupt when its manifest cannot be read here."""
        layout = await self._env.in_thread(read_layout, cid, self._home.get)
        manifest = layout.manifest
        plan, members = self._plan(manifest.stored_size, manifest.scheme)
        await self._book.found([Placement(cid, self._owner, plan.scheme, plan.copies, members, manifest.stored_size)])

    async def _withdraw(self, cids: Sequence[Cid]) -> None:
        """Remove objects that only this put brought, and could not bring as asked. Others may have names already."""
        if cids:
            await self._book.remove(cids)

    def _build_small(self, items: Sequence[tuple[str, bytes]]) -> list[BuiltObject]:
        return [build_inline(data, self._secret, name) for name, data in items]

    def _plan(self, size: int, scheme: Scheme | None = None) -> tuple[Plan, tuple[bytes, ...]]:
        """The plan for `size`, or for content cut by `scheme` before, and members chosen for it: this node first, its
        copy being here already."""
        candidates = self._view.candidates()
        plan = choose_plan(size, [candidate.availability for candidate in candidates], self._rules)
        if scheme is not None:
            plan = Plan(scheme, plan.copies, max(plan.members, shards_needed(scheme, plan.copies)))
        keep = [candidate.key for candidate in candidates if candidate.key == self._me and candidate.weight > 0]
        seed = self._env.token_bytes(_SEED_BYTES)
        # A node that offers no room and finds nobody still keeps what its owner gives it.
        return plan, choose_members(seed, plan.members, candidates, keep=keep) or (self._me,)

    def _placement(self, built: BuiltObject, plan: Plan, members: tuple[bytes, ...]) -> Placement:
        return Placement(
            built.reference.cid, self._owner, plan.scheme, plan.copies, members, built.stored_size, epoch=0
        )

    async def _put_large(self, blocks: Blocks, name: str, size: int | None, requirement: Requirement) -> Stored:
        spooled: list[SealedChunk] = []
        if size is None:
            sealer, spooled, ended = await self._spool(blocks)
            size = blocks.total_bytes if ended else self._rules.erasure_from_bytes
        else:
            sealer = Sealer(self._secret, COPIES, self._env)
        plan, members = self._plan(size)
        sealer.scheme = plan.scheme
        upload = _Upload(self, blocks, sealer, ManifestBuilder(self._secret, plan.scheme, name=name), plan, members)
        await upload.run(spooled)
        return await self._commit(upload, requirement)

    async def _spool(self, blocks: Blocks) -> tuple[Sealer, list[SealedChunk], bool]:
        """Seal and store here until the end, or until it is clear that the object is a large one.

        Only then is its scheme known. What is kept in memory of a spooled chunk is not its bytes.
        """
        sealer = Sealer(self._secret, COPIES, self._env)
        spooled: list[SealedChunk] = []
        while blocks.total_bytes < self._rules.erasure_from_bytes:
            plain = await blocks.read(batch_chunks(COPIES) * CHUNK_BYTES)
            if not plain:
                return sealer, spooled, True
            chunks = await sealer.seal_chunks(plain)
            await self._env.in_thread(self._home.put_many, [(chunk.address, chunk.stored) for chunk in chunks])
            spooled += [SealedChunk(chunk.address, b"", chunk.key, chunk.plain_size) for chunk in chunks]
        return sealer, spooled, False

    async def _commit(self, upload: _Upload, requirement: Requirement) -> Stored:
        digest = upload.sealer.content.digest()
        built = await self._env.in_thread(upload.builder.finish, upload.blocks.total_bytes, digest)
        manifest = list(built.manifest_chunks)
        await self._env.in_thread(self._home.put_many, manifest)
        fresh = [cid for cid in [built.reference.cid] if self._book.known(cid) is None]
        (written,), agreed = await self._book.found([self._placement(built, upload.plan, upload.members)])
        placement = written.placement
        groups = await self._env.in_thread(self._shapes, placement)

        def reached(states: States) -> Stored:
            survives = survivable_losses(groups, _complete(placement, states))
            return self._stored(built, placement, upload.plan, survives, agreed)

        def enough(states: States) -> bool:
            level = self._level(upload.plan, survivable_losses(groups, _complete(placement, states)), agreed=True)
            return requirement.is_met(level, len(_complete(placement, states))) and level != LOCAL

        along = manifest if sum(len(data) for _, data in manifest) <= MAX_BODY_BYTES else ()
        states = await self._holders.everywhere(written, along, enough=enough)
        try:
            stored = reached(states)
            requirement.check_reached(stored.level, len(_complete(placement, states)))
        except (NotEnoughNodes, Unavailable):
            await self._withdraw(fresh)
            raise
        return stored

    def _shapes(self, placement: Placement) -> list[Group]:
        layout = read_layout(placement.cid, self._home.get)
        return list({(group.need, group.holders): group for group in layout.groups(placement, self._home.get)}.values())

    def _wanted(self, plan: Plan) -> int:
        return plan.copies - 1 if plan.scheme.is_copies else plan.scheme.parity_shards

    def _level(self, plan: Plan, survives: int, *, agreed: bool) -> str:
        wanted = self._wanted(plan)
        if not agreed or survives < max(1, quorum_losses(wanted)):
            return LOCAL
        return REPLICATED if survives >= wanted else QUORUM

    def _stored(self, built: BuiltObject, placement: Placement, plan: Plan, survives: int, agreed: bool) -> Stored:
        """What to answer. Raises Unavailable when not even one whole set of pieces is known to be kept."""
        if survives == UNREADABLE:
            raise Unavailable(
                "the object was stored and is not whole on any node: pieces were lost meanwhile",
                hint="put it again; 'inos verify' looks for damage on this disk",
            )
        level = self._level(plan, survives, agreed=agreed)
        return Stored(built.reference, built.size, built.stored_size, placement, survives, self._wanted(plan), level)


def _complete(placement: Placement, states: States) -> set[bytes]:
    return {member for member, state in states.items() if state.completes(placement)}


@asynccontextmanager
async def _closed_at_the_end(source: AsyncIterator[bytes]) -> AsyncGenerator[None, None]:
    """A put that fails stops reading in the middle: the source must let go of what it holds then, not some day."""
    try:
        yield
    finally:
        if isinstance(source, AsyncGenerator):
            with trio.CancelScope(shield=True):
                await source.aclose()


class _Upload:
    """One large object on its way: reads, seals, and stores and pushes, each stage one batch ahead of the next."""

    def __init__(
        self,
        putter: Putter,
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
        self._home = putter._home
        self._env = putter._env
        unnamed = Placement(Cid(bytes(32)), putter._owner, plan.scheme, plan.copies, members, 0, 1)
        self._pusher = Pusher(putter._me, unnamed, putter._calls, putter._view)

    async def run(self, spooled: Sequence[SealedChunk]) -> None:
        async with open_tasks() as nursery:
            send_plain, plain = trio.open_memory_channel[bytes](0)
            send_sealed, sealed = trio.open_memory_channel[list[SealedStripe]](0)
            nursery.start_soon(self._read, send_plain)
            nursery.start_soon(self._seal, spooled, plain, send_sealed)
            nursery.start_soon(self._store, sealed)

    async def _read(self, out: trio.MemorySendChannel[bytes]) -> None:
        async with out:
            while plain := await self.blocks.read(batch_chunks(self.plan.scheme) * CHUNK_BYTES):
                await out.send(plain)

    async def _seal(
        self,
        spooled: Sequence[SealedChunk],
        batches: trio.MemoryReceiveChannel[bytes],
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
                async for plain in batches:
                    carried += await self.sealer.seal_chunks(plain)
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
                pieces = [piece for stripe in stripes for piece in stripe.pieces]
                there = await self._env.in_thread(self._home.present, [address for address, _ in pieces])
                async with open_tasks() as nursery:
                    nursery.start_soon(self._env.in_thread, self._home.put_many, pieces)
                    nursery.start_soon(self._push, stripes, bool(there))
                for stripe in stripes:
                    parity: list[Piece] = list(stripe.parity)
                    self.builder.add_stripe(stripe.data, [(address, len(shard)) for address, shard in parity])

    async def _push(self, stripes: Sequence[SealedStripe], probably_there: bool) -> None:
        await self._pusher.push(stripes, probably_there=probably_there)
