"""Placement: which member holds which piece of an object. Pure; every node computes the same answer.

A *piece* is a data chunk, a parity shard, a manifest or a page. The record names scheme and members; the rest follows
from rendezvous hashing over (piece, member), so one changed member moves few pieces and no table grows with chunks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from inos.core.codec import encode, reading
from inos.core.errors import BadFrame
from inos.core.ids import Address, Cid, OwnerId
from inos.crypto.signing import SIGNATURE_BYTES
from inos.objects.layout import Scheme
from inos.state.rendezvous import ranked, ranked_evenly

TABLE: Final = "placement"
MAX_MEMBERS: Final = 700  # row OB2: the largest objects spread over at most this many
MAX_PLACEMENT_BYTES: Final = 32 * 1024  # 700 members of 32 bytes and room
_STRUCT: Final = "objects/object.capnp:Placement"


@dataclass(frozen=True, slots=True)
class Placement:
    """Who keeps an object. `members` are node public keys; `size` is the stored bytes of one set of data chunks.

    `epoch` is the logical time of the record it was read from: it grows with every change, and tells a holder which of
    two requests is the later one. It is 0 before the placement is written. `grant` is the owner's signature over what
    a repair must leave as it is, so that any node can tell a repair of this object from an attempt to take it over.
    """

    cid: Cid
    owner: OwnerId
    scheme: Scheme
    copies: int
    members: tuple[bytes, ...]
    size: int
    epoch: int = 0
    grant: bytes = b""

    def granted_text(self, generation: int) -> bytes:
        """What the owner signs: everything but the members, for one generation of the object."""
        shards = (self.scheme.data_shards, self.scheme.parity_shards, self.copies)
        return bytes(self.cid) + generation.to_bytes(8, "big") + b"".join(n.to_bytes(2, "big") for n in shards)

    def moved(self, members: Sequence[bytes]) -> Placement:
        """The same object on other members; its epoch comes with the record it is written in."""
        return replace(self, members=tuple(members))


def encode_placement(placement: Placement) -> bytes:
    return encode(
        _STRUCT,
        version=1,
        owner=bytes(placement.owner),
        scheme={"dataShards": placement.scheme.data_shards, "parityShards": placement.scheme.parity_shards},
        copies=placement.copies,
        members=list(placement.members),
        size=placement.size,
        grant=placement.grant,
    )


# Holders, stewards and collectors look at the same objects one after the other; a placement of seven is half a KB.
@lru_cache(maxsize=512)
def decode_placement(cid: Cid, value: bytes, epoch: int = 0) -> Placement:
    """The placement in a record's value; `epoch` is the record's lamport time. Raises BadFrame for anything that is
    not a sound placement.
    """
    with reading(_STRUCT, value, max_bytes=MAX_PLACEMENT_BYTES) as r:
        placement = Placement(
            cid=cid,
            owner=OwnerId(r.owner),
            scheme=Scheme(r.scheme.dataShards, r.scheme.parityShards),
            copies=r.copies,
            members=tuple(bytes(member) for member in r.members),
            size=r.size,
            epoch=epoch,
            grant=bytes(r.grant),
        )
        version = r.version
    _check(placement, version)
    return placement


def _check(placement: Placement, version: int) -> None:
    members = placement.members
    sound = (
        version == 1
        and 1 <= len(members) <= MAX_MEMBERS
        and len(set(members)) == len(members)
        and all(len(member) == 32 for member in members)
        and 1 <= placement.copies <= MAX_MEMBERS
        and placement.scheme.data_shards >= 1
        and len(placement.grant) <= SIGNATURE_BYTES
    )
    if not sound:
        raise BadFrame(f"placement of {placement.cid} is not sound")


def copy_holders(placement: Placement, address: Address) -> tuple[bytes, ...]:
    """Members that keep a copy of this piece, best first: data chunks of a copied object, manifests and pages."""
    if len(placement.members) <= placement.copies:
        return placement.members
    return tuple(ranked_evenly(address, placement.members)[: placement.copies])


def stripe_holders(members: Sequence[bytes], shards: Sequence[Address]) -> tuple[bytes, ...]:
    """The member of each shard of one stripe, in order.

    Each shard takes its best-scored member among those with the fewest shards so far: all different while there are
    enough members, evenly doubled up when there are not. Taking one member away moves its shards and few others.
    """
    return _stripe_holders(tuple(members), tuple(shards))


# A stripe of 120 shards on 500 members takes 40 ms to work out, and holders are asked about all of an object's stripes
# again and again: the stripes of a 10 GB object for some epochs.
@lru_cache(maxsize=512)
def _stripe_holders(members: tuple[bytes, ...], shards: tuple[Address, ...]) -> tuple[bytes, ...]:
    taken: dict[bytes, int] = dict.fromkeys(members, 0)
    holders = []
    for round_, shard in enumerate(shards):
        fullest = round_ // len(members)
        holder = next(member for member in ranked_evenly(shard, members) if taken[member] <= fullest)
        taken[holder] += 1
        holders.append(holder)
    return tuple(holders)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that could hold pieces. `load` is the used share of what it offers, 0..1."""

    key: bytes
    weight: float
    load: float
    region: str = ""
    availability: float = 1.0


PLACEMENT_LOAD_LIMIT: Final = 0.5  # row RE1; relaxed where too few nodes are below it


def choose_members(
    seed: bytes, wanted: int, candidates: Sequence[Candidate], keep: Sequence[bytes] = ()
) -> tuple[bytes, ...]:
    """`wanted` members: those in `keep` first, then by weighted rendezvous over `seed`, one region after the other.

    Nodes at or over the load limit are taken only when the others do not suffice.
    """
    chosen = list(dict.fromkeys(keep))
    pool = [candidate for candidate in candidates if candidate.key not in set(chosen)]
    light = [candidate for candidate in pool if candidate.load < PLACEMENT_LOAD_LIMIT]
    heavy = sorted(
        (candidate for candidate in pool if candidate.load >= PLACEMENT_LOAD_LIMIT),
        key=lambda candidate: (candidate.load, candidate.key),
    )
    chosen += _by_region(seed, light)
    chosen += [candidate.key for candidate in heavy]
    return tuple(chosen[: max(wanted, len(keep))])


def _by_region(seed: bytes, candidates: Sequence[Candidate]) -> Iterator[bytes]:
    """Candidates in rendezvous order, dealt round-robin over their regions."""
    regions: dict[str, list[bytes]] = {}
    weights: Mapping[bytes, float] = {candidate.key: candidate.weight for candidate in candidates}
    region_of = {candidate.key: candidate.region for candidate in candidates}
    for key in ranked(seed, weights):
        regions.setdefault(region_of[key], []).append(key)
    for depth in range(max((len(keys) for keys in regions.values()), default=0)):
        for keys in regions.values():
            if depth < len(keys):
                yield keys[depth]
