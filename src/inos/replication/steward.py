"""What an object's steward decides: who should hold it, given who is there. Pure.

The steward is the object's first live member by rendezvous over the cid. Two nodes that see the mesh differently may
both think they are it; their records merge, and asking twice to hold an object does nothing the second time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from inos.core.ids import Cid
from inos.core.pure import pure
from inos.replication.placement import Candidate, Placement, choose_members
from inos.replication.scheme import shards_needed
from inos.state.rendezvous import ranked_evenly


def steward_of(cid: Cid, members: Sequence[bytes], alive: Collection[bytes]) -> bytes | None:
    """The live member in charge of the object, None when none is alive."""
    live = tuple(member for member in members if member in alive)
    return _first_in_line(bytes(cid), live) if live else None


@pure
def _first_in_line(item: bytes, live: tuple[bytes, ...]) -> bytes:
    return ranked_evenly(item, live)[0]


def members_wanted(placement: Placement, gone: Collection[bytes], candidates: Sequence[Candidate]) -> tuple[bytes, ...]:
    """The members the object should have: those not gone, and new ones up to what its redundancy needs.

    `gone` are members failed for longer than the repair delay, or no longer in the mesh. A member that is only away
    for a moment stays, so that a blink moves nothing. With nobody to take a place the object keeps fewer members; it
    is then under-replicated and grows when nodes come. Equal to the present members when there is nothing to do.
    """
    staying = [member for member in placement.members if member not in gone]
    needed = shards_needed(placement.scheme, placement.copies)
    if len(staying) >= needed:
        return tuple(staying)
    spare = [candidate for candidate in candidates if candidate.key not in gone and candidate.load < 1]
    return choose_members(bytes(placement.cid), needed, spare, keep=staying)


def margin(placement: Placement, alive: Collection[bytes]) -> int:
    """How far the object is from loss, in members: the smaller, the sooner it is repaired."""
    live = sum(member in alive for member in placement.members)
    missing = len(placement.members) - live
    if placement.scheme.is_copies:
        return min(placement.copies, len(placement.members)) - missing
    return placement.scheme.parity_shards - missing
