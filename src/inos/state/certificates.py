"""Certificates of membership: bytes in, a verified member or a named fault out. No state, no clock.

A mesh is founded by a Genesis; its id is the BLAKE3 of those bytes. A node is a member when it shows a certificate
signed by the founder, or by a member that may invite and shows its own certificate, and so on up to the founder:

    member's Certificate --issuer--> chain[0] --issuer--> chain[1] ... --issuer--> founder (of the Genesis)

Rules: every link names this mesh; every issuer in the chain carries mayInvite; a chain link carries no chain of its
own; a certificate issued by the founder has an empty chain. Times are for people and never decide validity: a member
leaves by a revocation (`membership.py`), not by a clock. Layout: schema/p2p/mesh.capnp.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from inos.core import codec
from inos.core.errors import BadInput, NotAMember
from inos.core.ids import MeshId, OwnerId, PeerId
from inos.crypto import signing
from inos.crypto.hashing import blake3_digest
from inos.crypto.signing import SigningKey
from inos.state.fields import at_most, check_version, exactly

CERTIFICATE_CONTEXT: Final = b"inos certificate v1"
VERSION: Final = 1
KEY_BYTES: Final = signing.PUBLIC_KEY_BYTES
SERIAL_BYTES: Final = 16
NONCE_BYTES: Final = 16
# A longer chain only makes every hello dearer; whoever holds the founder's phrase can always certify directly.
MAX_CHAIN: Final = 4
# One link is about 330 bytes; five of them and their framing, with room for a later version's fields.
MAX_CERTIFICATE_BYTES: Final = 4096
MAX_GENESIS_BYTES: Final = 256

_GENESIS: Final = "p2p/mesh.capnp:Genesis"
_CERTIFICATE: Final = "p2p/mesh.capnp:Certificate"
_BODY: Final = "p2p/mesh.capnp:CertificateBody"


class Fault(StrEnum):
    """Why a well-formed certificate does not make a member."""

    FOREIGN = "foreign"
    FORGED = "forged"
    UNCHAINED = "unchained"
    REVOKED = "revoked"


_FAULT_TEXT: Final = {
    Fault.FOREIGN: ("the certificate is for another mesh", "ask this mesh for a ticket: inos invite"),
    Fault.FORGED: ("a signature in the certificate is wrong", "join again with a new ticket"),
    Fault.UNCHAINED: ("the certificate does not lead to the founder", "join again with a ticket of the founder"),
    Fault.REVOKED: ("the membership was revoked", "a revoked node cannot return; start afresh with a new node key"),
}


def refusal(fault: Fault) -> NotAMember:
    """The error a fault is shown as."""
    message, hint = _FAULT_TEXT[fault]
    return NotAMember(message, hint=hint)


@dataclass(frozen=True, slots=True)
class Genesis:
    """What founds a mesh. `encoded` is what the mesh id is the digest of, so it is kept as it was received."""

    founder: OwnerId
    nonce: bytes
    encoded: bytes

    @property
    def mesh(self) -> MeshId:
        return MeshId(blake3_digest(self.encoded))


def found_mesh(founder: OwnerId, nonce: bytes) -> Genesis:
    """A new mesh of `founder`; `nonce` is 16 unpredictable bytes."""
    return decode_genesis(codec.encode(_GENESIS, version=VERSION, founder=bytes(founder), nonce=nonce))


def decode_genesis(data: bytes) -> Genesis:
    """Raises BadFrame or NewerFormat."""
    with codec.reading(_GENESIS, data, max_bytes=MAX_GENESIS_BYTES) as genesis:
        check_version(genesis.version, VERSION, "genesis")
        founder = OwnerId(exactly(genesis.founder, KEY_BYTES, "founder"))
        return Genesis(founder, exactly(genesis.nonce, NONCE_BYTES, "nonce"), bytes(data))


@dataclass(frozen=True, slots=True)
class Certificate:
    """A decoded certificate, not yet verified. `body` is what `signature` covers, byte for byte."""

    mesh: MeshId
    node: bytes
    owner: OwnerId
    issued_ms: int
    issuer: bytes
    may_invite: bool
    serial: bytes
    body: bytes
    signature: bytes
    chain: tuple[Certificate, ...] = ()

    def encode(self) -> bytes:
        """The certificate with its chain, as it is shown in a hello."""
        chain = [link.bare() for link in self.chain]
        return codec.encode(_CERTIFICATE, version=VERSION, body=self.body, signature=self.signature, chain=chain)

    def bare(self) -> bytes:
        """Without the chain, as it stands in the chain of another."""
        return codec.encode(_CERTIFICATE, version=VERSION, body=self.body, signature=self.signature)


@dataclass(frozen=True, slots=True)
class VerifiedMember:
    """What a certificate proves. `links` are (subject, issuer) from the member up to the founder."""

    node: bytes
    owner: OwnerId
    may_invite: bool
    links: tuple[tuple[bytes, bytes], ...]

    @property
    def peer(self) -> PeerId:
        return PeerId.from_public_key(self.node)


@dataclass(frozen=True, slots=True)
class Grant:
    """What an issuer says about a node."""

    mesh: MeshId
    node: bytes
    owner: OwnerId
    may_invite: bool
    issued_ms: int
    serial: bytes


def issue_certificate(key: SigningKey, grant: Grant, issuer: Certificate | None = None) -> Certificate:
    """A certificate signed by `key`: the founder's (`issuer` None), or a node's whose certificate is `issuer`.

    Raises BadInput when that issuer may not invite or its chain has no room for one more link.
    """
    chain = () if issuer is None else (issuer, *issuer.chain)
    if issuer is not None and not issuer.may_invite:
        raise BadInput("this node may not invite", hint="ask the founder of the mesh for a ticket")
    if len(chain) > MAX_CHAIN:
        raise BadInput("this node is too far from the founder to invite", hint="use a ticket of a node nearer to it")
    body = codec.encode(
        _BODY,
        version=VERSION,
        mesh=bytes(grant.mesh),
        node=grant.node,
        owner=bytes(grant.owner),
        issuedMs=grant.issued_ms,
        issuer=key.public_key,
        mayInvite=grant.may_invite,
        serial=grant.serial,
    )
    signature = key.sign(CERTIFICATE_CONTEXT, body)
    return _decoded(body, signature, tuple(_without_chain(link) for link in chain))


def decode_certificate(data: bytes) -> Certificate:
    """The certificate and its chain; nothing is verified yet. Raises BadFrame or NewerFormat."""
    with codec.reading(_CERTIFICATE, data, max_bytes=MAX_CERTIFICATE_BYTES) as certificate:
        check_version(certificate.version, VERSION, "certificate")
        at_most(certificate.chain, MAX_CHAIN, "certificate chain")
        body, signature = bytes(certificate.body), bytes(certificate.signature)
        links = [bytes(link) for link in certificate.chain]
    return _decoded(body, signature, tuple(_decode_link(link) for link in links))


def find_fault(certificate: Certificate, genesis: Genesis) -> Fault | None:
    """What is wrong with it, revocations aside; None when it proves membership. At most five signature checks."""
    mesh = genesis.mesh
    upwards = (*certificate.chain, None)
    for link, above in zip((certificate, *certificate.chain), upwards, strict=True):
        if link.mesh != mesh:
            return Fault.FOREIGN
        if above is None and link.issuer != genesis.founder:
            return Fault.UNCHAINED
        # A certificate of the founder's ends the chain: two spellings of one proof are refused.
        if above is not None and (link.issuer == genesis.founder or link.issuer != above.node or not above.may_invite):
            return Fault.UNCHAINED
        if not signing.verify(link.issuer, CERTIFICATE_CONTEXT, link.body, link.signature):
            return Fault.FORGED
    return None


def as_member(certificate: Certificate) -> VerifiedMember:
    """What `certificate` says; true only once `find_fault` found nothing."""
    links = tuple((link.node, link.issuer) for link in (certificate, *certificate.chain))
    return VerifiedMember(certificate.node, certificate.owner, certificate.may_invite, links)


def verify_certificate(certificate: Certificate, genesis: Genesis) -> VerifiedMember:
    """The member it proves, revocations aside. Raises NotAMember."""
    fault = find_fault(certificate, genesis)
    if fault is not None:
        raise refusal(fault)
    return as_member(certificate)


def _decode_link(data: bytes) -> Certificate:
    with codec.reading(_CERTIFICATE, data, max_bytes=MAX_CERTIFICATE_BYTES) as certificate:
        check_version(certificate.version, VERSION, "certificate")
        at_most(certificate.chain, 0, "chain of a chain link")
        return _decoded(bytes(certificate.body), bytes(certificate.signature), ())


def _decoded(body: bytes, signature: bytes, chain: tuple[Certificate, ...]) -> Certificate:
    with codec.reading(_BODY, body, max_bytes=MAX_CERTIFICATE_BYTES) as fields:
        check_version(fields.version, VERSION, "certificate body")
        return Certificate(
            mesh=MeshId(exactly(fields.mesh, KEY_BYTES, "mesh id")),
            node=exactly(fields.node, KEY_BYTES, "node key"),
            owner=OwnerId(exactly(fields.owner, KEY_BYTES, "owner key")),
            issued_ms=fields.issuedMs,
            issuer=exactly(fields.issuer, KEY_BYTES, "issuer key"),
            may_invite=fields.mayInvite,
            serial=exactly(fields.serial, SERIAL_BYTES, "serial"),
            body=body,
            signature=exactly(signature, signing.SIGNATURE_BYTES, "signature"),
            chain=chain,
        )


def _without_chain(certificate: Certificate) -> Certificate:
    return _decoded(certificate.body, certificate.signature, ())


@dataclass(frozen=True, slots=True)
class Issuer:
    """The right to certify: a key, and the certificate that gives it the right (None for the founder's key)."""

    key: SigningKey
    certificate: Certificate | None = None

    def issue(self, grant: Grant) -> Certificate:
        """Raises BadInput as `issue_certificate` does."""
        return issue_certificate(self.key, grant, self.certificate)


def issuer_for(genesis: Genesis, owner: SigningKey, node: SigningKey, certificate: Certificate) -> Issuer:
    """Who signs for this node's invitations: the founder's own key where the node has it, because such certificates
    need no chain and outlive the node; else the node itself, by its certificate."""
    return Issuer(owner) if owner.public_key == genesis.founder else Issuer(node, certificate)
