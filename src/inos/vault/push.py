"""Pushing finished pieces to the members that will hold them, while the rest is still being read.

Pushing only saves time: what does not arrive is fetched by its holder when it is asked to hold the object. So a member
that fails or falls behind is left out of the rest of the push instead of holding up the put.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import trio

from inos.core.errors import InosError
from inos.core.ids import PeerId
from inos.mesh.network import Calls
from inos.replication.bulk import have_chunks, put_chunks
from inos.replication.placement import Placement, copy_holders, stripe_holders
from inos.vault.sealing import Piece, SealedStripe

# One batch to one member: a few megabytes, done in under a second on any local network.
_BATCH_TIMEOUT_S: Final = 15.0

Shares = Mapping[bytes, Sequence[Piece]]
"""Pieces by the public key of the member to send them to."""


class Liveness(Protocol):
    def alive(self, member: bytes) -> bool: ...


@dataclass(slots=True)
class Pusher:
    """Pushes the pieces of one object. `placement` is the planned one; its cid need not be known yet."""

    me: bytes
    placement: Placement
    calls: Calls
    liveness: Liveness
    skipped: set[bytes] = field(default_factory=set)

    async def push(self, shares: Shares, *, probably_there: bool = False) -> None:
        """Send its share to each member. With `probably_there` they are asked first what they already have."""
        async with trio.open_nursery() as nursery:
            for member, pieces in shares.items():
                if member not in self.skipped:
                    nursery.start_soon(self._push_to, member, pieces, probably_there)

    def shares(self, stripes: Sequence[SealedStripe]) -> Shares:
        """What each member there is to be sent; nothing where this node holds everything."""
        shares: dict[bytes, list[Piece]] = {}
        for stripe in stripes:
            for piece, holders in self._holders(stripe):
                for holder in holders:
                    if holder != self.me and holder not in self.skipped and self.liveness.alive(holder):
                        shares.setdefault(holder, []).append(piece)
        return shares

    def _holders(self, stripe: SealedStripe) -> list[tuple[Piece, tuple[bytes, ...]]]:
        pieces = stripe.pieces
        if self.placement.scheme.is_copies:
            return [(piece, copy_holders(self.placement, piece[0])) for piece in pieces]
        holders = stripe_holders(self.placement.members, [address for address, _ in pieces])
        return [(piece, (holder,)) for piece, holder in zip(pieces, holders, strict=True)]

    async def _push_to(self, member: bytes, pieces: Sequence[Piece], probably_there: bool) -> None:
        peer = PeerId.from_public_key(member)
        with trio.move_on_after(_BATCH_TIMEOUT_S) as scope:
            try:
                if probably_there:
                    there = await have_chunks(self.calls, peer, [address for address, _ in pieces])
                    pieces = [piece for piece in pieces if piece[0] not in there]
                if pieces:
                    await put_chunks(self.calls, peer, pieces)
            except InosError:
                self.skipped.add(member)
        if scope.cancelled_caught:
            self.skipped.add(member)
