"""Getting a piece from whoever has it: this disk, a peer, a slower peer at the same time, or the rest of its stripe.

Every piece is checked against its address before it is returned. The order of peers comes from their scores; a peer
that is slower than usual is hedged by the next one, and the first sound answer wins (row RE5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import trio

from inos.core.env import Env
from inos.core.errors import Corrupt, InosError, NotFound, Unavailable
from inos.core.ids import Address, PeerId
from inos.crypto.hashing import address_of
from inos.mesh.network import Calls
from inos.objects.erasure import rebuild
from inos.replication.bulk import get_chunk, have_chunks
from inos.replication.durability import Group
from inos.replication.scores import Scores

_KEPT_WIDTH: Final = 16
MAX_HEDGES: Final = 3  # peers asked for one piece at the same time
# Nodes asked where displaced pieces lie; in a mesh of hundreds a sample finds them, and parity rebuilds the rest.
MAX_ASKED: Final = 16


class LocalChunks(Protocol):
    def get(self, address: Address) -> bytes: ...


class Liveness(Protocol):
    def alive(self, member: bytes) -> bool: ...

    def alive_members(self) -> Sequence[bytes]: ...


@dataclass(slots=True)
class Stripe:
    """A group being read, and its pieces so far, so that rebuilding one piece does not fetch the others again."""

    group: Group
    known: dict[int, bytes] = field(default_factory=dict)
    rebuilding: trio.Lock = field(default_factory=trio.Lock)

    def learn(self, index: int, data: bytes) -> None:
        """Keep a piece for rebuilding others, where that is cheap: a wide stripe would fill the memory of a reader that
        may need none of it again."""
        if self.group.need <= _KEPT_WIDTH:
            self.known[index] = data


class Fetcher:
    """Fetches pieces for one node. `me` is its public key."""

    def __init__(
        self, me: bytes, calls: Calls, chunks: LocalChunks, liveness: Liveness, scores: Scores, env: Env
    ) -> None:
        self._me = me
        self._calls = calls
        self._chunks = chunks
        self._liveness = liveness
        self._scores = scores
        self._env = env

    async def piece(self, address: Address, holders: Iterable[bytes], *, local: bool = True) -> bytes:
        """The piece, from this disk or the best of `holders`. Unavailable when none of them gives it."""
        if local:
            try:
                return await self._env.in_thread(self._chunks.get, address)
            except (NotFound, Corrupt):
                pass
        return await self._race(address, [holder for holder in holders if holder != self._me])

    async def anywhere(self, address: Address, holders: Sequence[bytes], *, local: bool = True) -> bytes:
        """As `piece`; when no holder gives it, from whichever live node says that it has it."""
        try:
            return await self.piece(address, holders, local=local)
        except Unavailable:
            return await self._race(address, (await self.locate([address], holders)).get(address, ()))

    async def of_group(
        self,
        group: Group,
        index: int,
        *,
        elsewhere: Mapping[Address, Sequence[bytes]] | None = None,
        local: bool = True,
    ) -> bytes:
        """Piece `index` of the group: from a holder, from whoever else has it, or rebuilt from the rest.

        `elsewhere` names nodes known to have pieces; without it they are asked when the holders fail.
        """
        return await self.of_stripe(Stripe(group), index, elsewhere=elsewhere, local=local)

    async def of_stripe(
        self,
        stripe: Stripe,
        index: int,
        *,
        elsewhere: Mapping[Address, Sequence[bytes]] | None = None,
        local: bool = True,
    ) -> bytes:
        """As `of_group`, for several pieces of one group."""
        group, address = stripe.group, stripe.group.addresses[index]
        holders = (*_holders_of(group, address), *(elsewhere or {}).get(address, ()))
        try:
            data = await self.piece(address, holders, local=local)
        except Unavailable:
            data = await self._of_last_resort(stripe, index, elsewhere)
        stripe.learn(index, data)
        return data

    async def _of_last_resort(
        self, stripe: Stripe, index: int, elsewhere: Mapping[Address, Sequence[bytes]] | None
    ) -> bytes:
        group, address = stripe.group, stripe.group.addresses[index]
        if elsewhere is None:
            elsewhere = await self.locate(sorted(set(group.addresses)), group.holders)
            if address in elsewhere:
                try:
                    return await self._race(address, elsewhere[address])
                except Unavailable:
                    pass
        if group.need == 1 and len(set(group.addresses)) == 1:
            raise _unreachable(address)
        async with stripe.rebuilding:
            if index not in stripe.known:
                await self._rebuild(stripe, index, elsewhere)
            return stripe.known[index]

    async def _rebuild(self, stripe: Stripe, wanted: int, elsewhere: Mapping[Address, Sequence[bytes]]) -> None:
        """Gather any `need` other pieces, several at once, and compute the wanted one into `stripe.known`."""
        group, known = stripe.group, stripe.known
        pending = self._cheapest_first(
            group, (index for index in range(len(group.addresses)) if index != wanted and index not in known)
        )

        async def gather(nursery: trio.Nursery) -> None:
            while pending and len(known) < group.need:
                index = pending.pop(0)
                address = group.addresses[index]
                holders = (*_holders_of(group, address), *elsewhere.get(address, ()))
                try:
                    known[index] = await self.piece(address, holders)
                except InosError:
                    continue
            if len(known) >= group.need:
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for _ in range(group.need - len(known)):
                nursery.start_soon(gather, nursery)
        if len(known) < group.need:
            raise Unavailable(
                f"only {len(known)} of the {group.need} shards that a stripe needs can be reached",
                hint="start more of the nodes that hold this object and try again",
            )
        known[wanted] = await self._env.in_thread(_rebuild_checked, group, dict(known), wanted)

    async def locate(
        self, addresses: Sequence[Address], members: Iterable[bytes] = ()
    ) -> dict[Address, tuple[bytes, ...]]:
        """Who says it has these pieces: `members` are asked first, then other live nodes (former holders, say)."""
        order = dict.fromkeys((*members, *self._liveness.alive_members()))
        asked = [member for member in order if member != self._me and self._liveness.alive(member)]
        found: dict[Address, list[bytes]] = {}

        async def ask(member: bytes) -> None:
            try:
                present = await have_chunks(self._calls, PeerId.from_public_key(member), addresses)
            except InosError:
                return
            for address in present:
                found.setdefault(address, []).append(member)

        async with trio.open_nursery() as nursery:
            for member in asked[:MAX_ASKED]:
                nursery.start_soon(ask, member)
        return {address: tuple(sorted(holders)) for address, holders in found.items()}

    def _cheapest_first(self, group: Group, indices: Iterable[int]) -> list[int]:
        """Shards in the order to try them: mine, those of live members by score, the rest."""
        order = {member: rank for rank, member in enumerate(self._scores.best_first(group.holders))}

        def cost(index: int) -> tuple[bool, bool, int]:
            holder = group.holders[index]
            return (holder != self._me, not self._liveness.alive(holder), order[holder])

        return sorted(indices, key=cost)

    async def _race(self, address: Address, holders: Sequence[bytes]) -> bytes:
        """Ask the best holder, hedge to the next when it is slow or fails; the first sound answer wins."""
        queue = self._scores.best_first(holder for holder in holders if self._liveness.alive(holder))
        won: list[bytes] = []
        slots = trio.Semaphore(MAX_HEDGES)

        async def ask(holder: bytes, settled: trio.Event, nursery: trio.Nursery) -> None:
            data = await self._ask(holder, address)
            slots.release()
            if data is None:
                settled.set()
                return
            won.append(data)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for holder in queue:
                await slots.acquire()
                settled = trio.Event()
                nursery.start_soon(ask, holder, settled, nursery)
                with trio.move_on_after(self._scores.hedge_after_s(holder)):
                    await settled.wait()
        if not won:
            raise _unreachable(address)
        return won[0]

    async def _ask(self, holder: bytes, address: Address) -> bytes | None:
        """The chunk from one holder, None when it fails; the holder's score learns from it."""
        start_s = self._env.monotonic_s()
        self._scores.started(holder)
        try:
            data = await get_chunk(self._calls, PeerId.from_public_key(holder), address)
        except Corrupt:
            self._scores.failed(holder, wrong=True)
            return None
        except NotFound:
            return None  # an honest miss: it may be about to fetch the piece itself
        except InosError:
            self._scores.failed(holder)
            return None
        finally:
            self._scores.ended(holder)
        self._scores.succeeded(holder, self._env.monotonic_s() - start_s)
        return data


def _holders_of(group: Group, address: Address) -> list[bytes]:
    return [holder for held, holder in zip(group.addresses, group.holders, strict=True) if held == address]


def _unreachable(address: Address) -> Unavailable:
    return Unavailable(
        f"no reachable node gives chunk {address!r}",
        hint="start more of the nodes that hold this object and try again",
    )


def _rebuild_checked(group: Group, shards: Mapping[int, bytes], wanted: int) -> bytes:
    parity = len(group.addresses) - group.need
    data = rebuild(shards, group.sizes[: group.need], group.need, parity, [wanted])[wanted]
    if address_of(data) != group.addresses[wanted]:
        raise Corrupt(f"a rebuilt shard does not match its address {group.addresses[wanted]!r}")
    return data
