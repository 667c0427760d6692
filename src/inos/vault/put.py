"""Putting an object: seal, store here, spread, have it held, and only then say how safe it is.

The order, which every step relies on: chunks synced on this disk, and pushed to members meanwhile -> manifest synced
here -> placement record -> members hold (each checks and syncs what it has) -> answer. Up to any point a crash leaves
chunks that the next put of the same file finds again, or that collection frees; after the placement record is written,
repair finishes the job.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import trio

from inos.core.env import Env
from inos.core.errors import InosError, Unavailable
from inos.core.ids import Cid, OwnerId
from inos.core.options import Compression
from inos.mesh.network import MAX_BODY_BYTES, Calls
from inos.objects.chunks import SealedChunk
from inos.objects.layout import COPIES, INLINE_BYTES, Scheme
from inos.objects.manifest import BuiltObject, ManifestBuilder, build_inline
from inos.objects.reference import Reference
from inos.replication.durability import UNREADABLE, Group, quorum_losses, survivable_losses
from inos.replication.hold_caller import HoldCaller, States
from inos.replication.layout import read_layout
from inos.replication.placement import Candidate, Placement, choose_members
from inos.replication.placements import AboutTo, Written
from inos.replication.scheme import DEFAULT_RULES, Plan, PlanRules, choose_plan, shards_needed
from inos.vault.blocks import Blocks
from inos.vault.outcome import LOCAL, QUORUM, REPLICATED, Requirement, Stored
from inos.vault.push import Pusher
from inos.vault.sealing import Sealer, batch_chunks
from inos.vault.upload import Home, Upload

_SEED_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Made:
    """What one content of a put has become, before anybody is told."""

    reference: Reference
    size: int
    sha256: bytes


# Hears what the contents of a put have become, in order, and where they are about to be placed.
Announced = Callable[[Sequence[Made], Sequence[Placement]], Awaitable[None]]


async def _unannounced(_made: Sequence[Made], _placements: Sequence[Placement]) -> None:
    """Nobody has to know: the put gives no names."""


class MeshView(Protocol):
    def alive(self, member: bytes) -> bool: ...

    def candidates(self) -> Sequence[Candidate]: ...


class Book(Protocol):
    """The placement table, as a put writes it."""

    async def found(
        self, placements: Sequence[Placement], about_to: AboutTo | None = None
    ) -> tuple[list[Written], bool]:
        """Write placements of new objects as their owner; and whether a quorum has them all. `about_to` hears of them
        as they will be, before each time they are written."""

    def known(self, cid: Cid) -> Placement | None: ...

    async def remove(self, cids: Sequence[Cid]) -> bool: ...


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
        compression: Compression = "lz4",
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
        self._compression: Compression = compression
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

    async def put(
        self,
        source: AsyncIterator[bytes],
        name: str,
        size: int | None,
        requirement: Requirement,
        announced: Announced = _unannounced,
    ) -> Stored:
        """Store everything `source` gives. Raises what `source` raises, StorageFull, NotEnoughNodes, Unavailable."""
        requirement.check_possible(len(self._view.candidates()))
        async with _closed_at_the_end(source):
            return await self._put(source, name, size, requirement, announced)

    async def _put(
        self, source: AsyncIterator[bytes], name: str, size: int | None, requirement: Requirement, announced: Announced
    ) -> Stored:
        with self._busy():
            blocks = Blocks(source)
            head = await blocks.read(INLINE_BYTES + 1)
            if len(head) <= INLINE_BYTES:
                (stored,) = await self.put_small([(name, head)], requirement, announced)
                return stored
            blocks.unread(head)
            return await self._put_large(blocks, name, size, requirement, announced)

    async def put_small(
        self, items: Sequence[tuple[str, bytes]], requirement: Requirement, announced: Announced = _unannounced
    ) -> list[Stored]:
        """Store several contents of at most INLINE_BYTES each, all together."""
        requirement.check_possible(len(self._view.candidates()))
        with self._busy():
            built = await self._env.in_thread(self._build_small, items)
            objects = list({one.reference.cid: one for one in built}.values())
            made = [Made(one.reference, one.size, one.sha256) for one in built]
            stored = await self._store_small(objects, requirement, partial(announced, made))
        return [stored[one.reference.cid] for one in built]

    async def _store_small(
        self, objects: Sequence[BuiltObject], requirement: Requirement, about_to: AboutTo
    ) -> dict[Cid, Stored]:
        chunks = [list(one.manifest_chunks) for one in objects]
        await self._env.in_thread(self._home.put_many, [chunk for some in chunks for chunk in some])
        plan, members = self._plan(max((one.size for one in objects), default=0))
        placements = [self._placement(one, plan, members) for one in objects]
        written, agreed = await self._book.found(placements, about_to)
        states = await self._holders.many(written, chunks)
        stored = {}
        for one, entry, holders in zip(objects, written, states, strict=True):
            good = _complete(entry.placement, holders)
            stored[one.reference.cid] = self._stored(one, entry.placement, plan, len(good) - 1, agreed)
            requirement.check_reached(one.reference.cid, stored[one.reference.cid].level, len(good))
        return stored

    async def found_again(self, cid: Cid) -> None:
        """Write a placement for an object of this owner that was removed and whose pieces are still there; repair sees
        to the rest. Raises NotFound or Corrupt when its manifest cannot be read here."""
        layout = await self._env.in_thread(read_layout, cid, self._home.get)
        manifest = layout.manifest
        plan, members = self._plan(manifest.stored_size, manifest.scheme)
        await self._book.found([Placement(cid, self._owner, plan.scheme, plan.copies, members, manifest.stored_size)])

    def is_whole_here(self, placement: Placement) -> bool:
        """Whether this node has enough pieces of an object to read all of it. Blocks."""
        try:
            groups = read_layout(placement.cid, self._home.get).groups(placement, self._home.get)
            return all(len(self._home.present(list(set(one.addresses)))) >= one.need for one in groups)
        except InosError:
            return False

    def _build_small(self, items: Sequence[tuple[str, bytes]]) -> list[BuiltObject]:
        return [build_inline(data, self._secret, name, self._compression) for name, data in items]

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

    async def _put_large(
        self, blocks: Blocks, name: str, size: int | None, requirement: Requirement, announced: Announced
    ) -> Stored:
        spooled: list[SealedChunk] = []
        if size is None:
            sealer, spooled, ended = await self._spool(blocks)
            size = blocks.total_bytes if ended else self._rules.erasure_from_bytes
        else:
            sealer = self._sealer()
        plan, members = self._plan(size)
        sealer.scheme = plan.scheme
        unnamed = Placement(Cid(bytes(32)), self._owner, plan.scheme, plan.copies, members, 0)
        pusher = Pusher(self._me, unnamed, self._calls, self._view)
        builder = ManifestBuilder(self._secret, plan.scheme, name=name, chunk_bytes=self._rules.chunk_bytes)
        upload = Upload(self._home, pusher, self._env, blocks, sealer, builder, plan, members)
        await upload.run(spooled)
        return await self._commit(upload, requirement, announced)

    def _sealer(self) -> Sealer:
        return Sealer(self._secret, COPIES, self._env, self._rules.chunk_bytes, self._compression)

    async def _spool(self, blocks: Blocks) -> tuple[Sealer, list[SealedChunk], bool]:
        """Seal and store here until the end, or until it is clear that the object is a large one.

        Only then is its scheme known. What is kept in memory of a spooled chunk is not its bytes.
        """
        sealer = self._sealer()
        spooled: list[SealedChunk] = []
        while blocks.total_bytes < self._rules.erasure_from_bytes:
            plain = await blocks.read(batch_chunks(COPIES) * self._rules.chunk_bytes)
            if not plain:
                return sealer, spooled, True
            await sealer.hash(plain)
            chunks = await sealer.seal(plain)
            await self._env.in_thread(self._home.put_many, [chunk.piece for chunk in chunks])
            spooled += [SealedChunk(chunk.address, b"", chunk.key, chunk.plain_size) for chunk in chunks]
        return sealer, spooled, False

    async def _commit(self, upload: Upload, requirement: Requirement, announced: Announced) -> Stored:
        sha256 = upload.sealer.sha256.digest()
        built = await self._env.in_thread(upload.builder.finish, upload.blocks.total_bytes, sha256)
        manifest = list(built.manifest_chunks)
        await self._env.in_thread(self._home.put_many, manifest)
        about_to = partial(announced, [Made(built.reference, built.size, sha256)])
        (written,), agreed = await self._book.found([self._placement(built, upload.plan, upload.members)], about_to)
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
        stored = reached(states)
        # What falls short stays, without a name: the same content may have been put before, or by another node now, and
        # been acknowledged. The next put of it goes on from here.
        requirement.check_reached(placement.cid, stored.level, len(_complete(placement, states)))
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
        return Stored(
            built.reference, built.size, built.stored_size, placement, survives, self._wanted(plan), level, built.sha256
        )


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
