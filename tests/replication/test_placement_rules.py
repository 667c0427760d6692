"""Who may write a placement: the owner; any member by the owner's grant, within its generation; nobody else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inos.core.errors import BadFrame, BadInput, Refused
from inos.core.ids import Cid, OwnerId
from inos.crypto.signing import SigningKey
from inos.objects.layout import COPIES, Scheme
from inos.replication.placement import TABLE, Placement, encode_placement
from inos.replication.placements import GRANT_CONTEXT, placement_table
from inos.state.lamport import GENERATION
from inos.state.record import Record
from inos.state.records import sign_record
from inos.testing.members import fixed_key

CID = Cid(b"\5" * 32)
OWNER, STEWARD, STRANGER = (fixed_key("placement rules", name) for name in ("owner", "steward", "stranger"))
MEMBERS = tuple(fixed_key("placement rules", number).public_key for number in range(3))
FIRST = GENERATION  # the first moment of the first generation
SPEC = placement_table()


def placed(owner: SigningKey = OWNER, generation: int = 1, signer: SigningKey | None = None) -> Placement:
    """A placement of `owner` that `signer` (the owner) granted for a generation."""
    bare = Placement(CID, OwnerId(owner.public_key), COPIES, 3, MEMBERS, 1000)
    return replace(bare, grant=(signer or owner).sign(GRANT_CONTEXT, bare.granted_text(generation)))


def record(author: SigningKey, placement: Placement, lamport: int = FIRST) -> Record:
    return sign_record(author, TABLE, bytes(CID), encode_placement(placement), lamport)


def removal(author: SigningKey, lamport: int = 2 * GENERATION) -> Record:
    return sign_record(author, TABLE, bytes(CID), b"", lamport, removed=True)


def test_an_owner_writes_with_and_without_a_grant() -> None:
    SPEC.validate(record(OWNER, placed()))
    SPEC.validate(record(OWNER, replace(placed(), grant=b"")))


def test_any_member_moves_it_by_the_grant() -> None:
    moved = record(STEWARD, placed().moved(MEMBERS[:2]), FIRST + 1)
    SPEC.validate(moved)
    SPEC.authorise(moved, record(OWNER, placed()))


@pytest.mark.parametrize(
    "forged",
    [
        replace(placed(), grant=b""),
        replace(placed(), grant=bytes(64)),
        replace(placed(), grant=placed().grant[:-1]),
        placed(signer=STEWARD),
        placed(generation=2),
        replace(placed(), scheme=Scheme(2, 1)),
        replace(placed(), copies=1),
        replace(placed(), owner=OwnerId(STRANGER.public_key)),
    ],
    ids=["none", "zeros", "cut", "of another", "of another generation", "scheme", "copies", "owner"],
)
def test_what_the_owner_did_not_grant_is_refused(forged: Placement) -> None:
    with pytest.raises(Refused):
        SPEC.validate(record(STEWARD, forged, FIRST + 1))


def test_a_grant_is_for_one_object() -> None:
    elsewhere = sign_record(STEWARD, TABLE, b"\6" * 32, encode_placement(placed()), FIRST + 1)
    with pytest.raises(Refused):
        SPEC.validate(elsewhere)


def test_a_grant_ends_with_its_generation() -> None:
    SPEC.validate(record(STEWARD, placed(), 2 * GENERATION - 1))
    with pytest.raises(Refused):
        SPEC.validate(record(STEWARD, placed(), 2 * GENERATION))


def test_an_object_keeps_its_owner() -> None:
    """A stranger may put the same bytes, but not take the object over, however sound its own record is."""
    taken = record(STRANGER, placed(STRANGER, generation=2), 2 * GENERATION)
    SPEC.validate(taken)
    for current in (record(OWNER, placed()), record(STEWARD, placed(), FIRST + 1), removal(OWNER)):
        with pytest.raises(Refused):
            SPEC.authorise(taken, current)


def test_only_the_owner_removes_it_and_puts_it_anew() -> None:
    current = record(STEWARD, placed(), FIRST + 1)
    SPEC.authorise(removal(OWNER), current)
    for other in (STEWARD, STRANGER):
        SPEC.validate(removal(other))  # alone it says nothing of whose the object is
        with pytest.raises(Refused):
            SPEC.authorise(removal(other), current)
    SPEC.authorise(record(OWNER, placed(generation=3), 3 * GENERATION), removal(OWNER))


@pytest.mark.parametrize("size", [1, 31, 33])
def test_a_key_that_is_no_cid(size: int) -> None:
    with pytest.raises(BadInput):
        SPEC.validate(sign_record(OWNER, TABLE, bytes(size), encode_placement(placed()), FIRST))


def test_a_value_that_is_no_placement() -> None:
    with pytest.raises(BadFrame):
        SPEC.validate(sign_record(OWNER, TABLE, bytes(CID), b"no placement", FIRST))
