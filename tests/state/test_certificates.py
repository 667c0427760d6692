"""Certificates: chains up to the founder, every way of forging one, golden bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core import codec
from inos.core.errors import BadFrame, BadInput, InosError, NewerFormat, NotAMember
from inos.core.ids import MeshId, OwnerId
from inos.crypto.hashing import blake3_digest
from inos.state.certificates import (
    MAX_CERTIFICATE_BYTES,
    Certificate,
    Fault,
    Grant,
    as_member,
    decode_certificate,
    decode_genesis,
    find_fault,
    issue_certificate,
    issuer_for,
    verify_certificate,
)
from inos.testing.members import Machine, Team, fixed_key

VECTORS = json.loads((Path(__file__).parent / "vectors" / "membership.json").read_text())
TEAM = Team()
FIRST = TEAM.machine("first")


def chained(length: int) -> Machine:
    machine = FIRST
    for number in range(length):
        machine = TEAM.machine(f"link{number}", issuer=machine)
    return machine


def with_chain(certificate: Certificate, *chain: Certificate) -> Certificate:
    return replace(certificate, chain=tuple(replace(link, chain=()) for link in chain))


def test_the_mesh_id_is_the_digest_of_the_genesis() -> None:
    assert TEAM.genesis.mesh == MeshId(blake3_digest(TEAM.genesis.encoded))
    assert decode_genesis(TEAM.genesis.encoded) == TEAM.genesis
    assert Team("other").genesis.mesh != TEAM.genesis.mesh


def test_golden_bytes_still_decode_and_verify() -> None:
    genesis = decode_genesis(bytes.fromhex(VECTORS["genesis"]))
    assert genesis.mesh.hex() == VECTORS["mesh"]
    direct = verify_certificate(decode_certificate(bytes.fromhex(VECTORS["direct"])), genesis)
    chained_ = verify_certificate(decode_certificate(bytes.fromhex(VECTORS["chained"])), genesis)
    assert direct.node.hex() == VECTORS["direct_node"]
    assert chained_.links == ((chained_.node, direct.node), (direct.node, bytes(genesis.founder)))


def test_encoding_is_what_the_golden_bytes_say() -> None:
    assert TEAM.genesis.encoded.hex() == VECTORS["genesis"]
    assert FIRST.certificate.encode().hex() == VECTORS["direct"]
    assert chained(1).certificate.encode().hex() == VECTORS["chained"]


@pytest.mark.parametrize("length", range(5))
def test_a_chain_of_up_to_four_verifies(length: int) -> None:
    machine = chained(length)
    verified = verify_certificate(decode_certificate(machine.certificate.encode()), TEAM.genesis)
    assert verified.node == machine.node
    assert verified.owner == OwnerId(TEAM.founder.public_key)
    assert verified.may_invite
    assert len(verified.links) == length + 1


def test_a_longer_chain_is_neither_issued_nor_read() -> None:
    last = chained(4)
    with pytest.raises(BadInput, match="too far from the founder"):
        TEAM.machine("one too many", issuer=last)
    too_long = replace(last.certificate, chain=(*last.certificate.chain, FIRST.certificate))
    with pytest.raises(BadFrame, match="chain"):
        decode_certificate(too_long.encode())


def test_the_largest_certificate_is_well_within_its_bound() -> None:
    assert len(chained(4).certificate.encode()) < MAX_CERTIFICATE_BYTES / 2


def test_who_may_not_invite_cannot_issue() -> None:
    guest = TEAM.machine("guest", may_invite=False)
    with pytest.raises(BadInput, match="may not invite"):
        TEAM.machine("friend", issuer=guest)


def test_a_certificate_by_who_may_not_invite_is_no_proof() -> None:
    guest = TEAM.machine("guest", may_invite=False)
    friend = issued_by(guest)
    assert find_fault(with_chain(friend, guest.certificate), TEAM.genesis) is Fault.UNCHAINED


def issued_by(issuer: Machine, *, mesh: MeshId | None = None) -> Certificate:
    """What a dishonest issuer signs, heedless of its rights; without the chain."""
    key = fixed_key("dishonest")
    owner = OwnerId(key.public_key)
    grant = Grant(mesh or TEAM.genesis.mesh, key.public_key, owner, True, 0, bytes(16))
    return issue_certificate(issuer.key, grant)


def test_another_mesh_is_foreign() -> None:
    stranger = Team("other").machine("first")
    assert find_fault(stranger.certificate, TEAM.genesis) is Fault.FOREIGN
    with pytest.raises(NotAMember, match="another mesh"):
        verify_certificate(stranger.certificate, TEAM.genesis)


def test_a_link_of_another_mesh_is_foreign() -> None:
    other = Team("other").machine("first")
    assert find_fault(with_chain(issued_by(other), other.certificate), TEAM.genesis) is Fault.FOREIGN


def test_a_self_made_founder_does_not_count() -> None:
    assert find_fault(issued_by(FIRST), TEAM.genesis) is Fault.UNCHAINED
    impostor = replace(FIRST, key=fixed_key("impostor"))
    assert find_fault(with_chain(issued_by(impostor), FIRST.certificate), TEAM.genesis) is Fault.UNCHAINED


def test_a_flipped_signature_is_forged() -> None:
    signature = bytes([FIRST.certificate.signature[0] ^ 1]) + FIRST.certificate.signature[1:]
    forged = replace(FIRST.certificate, signature=signature)
    assert find_fault(decode_certificate(forged.encode()), TEAM.genesis) is Fault.FORGED


def test_a_forged_link_spoils_the_chain() -> None:
    second = chained(1)
    link = replace(FIRST.certificate, signature=bytes(64))
    assert find_fault(with_chain(second.certificate, link), TEAM.genesis) is Fault.FORGED


def test_nothing_follows_the_founder() -> None:
    assert find_fault(with_chain(FIRST.certificate, FIRST.certificate), TEAM.genesis) is Fault.UNCHAINED


def test_a_link_with_a_chain_of_its_own_is_garbled() -> None:
    second = chained(1).certificate
    nested = codec.encode(
        "p2p/mesh.capnp:Certificate",
        version=1,
        body=second.body,
        signature=second.signature,
        chain=[chained(1).certificate.encode()],
    )
    with pytest.raises(BadFrame, match="chain"):
        decode_certificate(nested)


def test_a_later_version_is_told_apart_from_garbage() -> None:
    later = codec.encode("p2p/mesh.capnp:Certificate", version=2, body=b"", signature=b"")
    with pytest.raises(NewerFormat, match="version 2"):
        decode_certificate(later)
    with pytest.raises(BadFrame, match="no version"):
        decode_certificate(codec.encode("p2p/mesh.capnp:Certificate"))


def test_the_founders_machines_certify_with_the_founders_key() -> None:
    friend = TEAM.machine("friend", owner=fixed_key("friend"))
    grant = Grant(TEAM.genesis.mesh, bytes(32), OwnerId(bytes(32)), False, 0, bytes(16))
    assert issuer_for(TEAM.genesis, TEAM.founder, FIRST.key, FIRST.certificate).issue(grant).chain == ()
    chain = issuer_for(TEAM.genesis, friend.owner, friend.key, friend.certificate).issue(grant).chain
    assert [link.node for link in chain] == [friend.node]


@given(st.binary(max_size=600))
@settings(max_examples=200)
def test_garbage_is_refused_cleanly(data: bytes) -> None:
    with pytest.raises((BadFrame, NewerFormat)):
        decode_certificate(data)
    with pytest.raises((BadFrame, NewerFormat)):
        decode_genesis(data)


@given(st.data())
@settings(max_examples=300)
def test_no_change_of_one_byte_proves_anything_else(data: st.DataObject) -> None:
    """Either it is refused, or the change was in bytes that carry no meaning."""
    machine = chained(2)
    encoded = bytearray(machine.certificate.encode())
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] ^= data.draw(st.integers(1, 255))
    try:
        found = verify_certificate(decode_certificate(bytes(encoded)), TEAM.genesis)
    except InosError:
        return
    assert found == as_member(machine.certificate)


@given(st.integers(0, 900))
@settings(max_examples=100)
def test_a_truncated_certificate_is_refused(size: int) -> None:
    encoded = chained(2).certificate.encode()
    with pytest.raises(InosError):
        verify_certificate(decode_certificate(encoded[: min(size, len(encoded) - 8)]), TEAM.genesis)
