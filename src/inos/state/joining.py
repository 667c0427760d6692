"""What is said when a node joins: the request, the answer, and the owner's proof. Pure; `mesh/join.py` acts on it.

The owner signs mesh id and node key, so that nobody can join a machine in another owner's name. Both messages fit in
the small frames that strangers are allowed. Layout: schema/p2p/mesh.capnp JoinRequest, JoinAnswer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from inos.core import codec
from inos.core.ids import MeshId, OwnerId
from inos.crypto import signing
from inos.crypto.signing import SigningKey
from inos.state.certificates import MAX_CERTIFICATE_BYTES, Certificate, decode_certificate
from inos.state.fields import at_most, check_version, exactly
from inos.state.invitations import MAX_INVITATION_BYTES, SECRET_BYTES, Invitation, decode_invitation

JOIN_CONTEXT: Final = b"inos join v1"
VERSION: Final = 1
# The invitation and four fixed fields, with room for a later version's.
MAX_REQUEST_BYTES: Final = MAX_INVITATION_BYTES + 1024
# Certificate and records must fit in a stranger's frame (64 KiB); a record of a member is 1 to 3 KB, so this introduces
# a newcomer to 15 members or more, and it hears of the others from them.
MAX_RECORDS_BYTES: Final = 48 * 1024
MAX_RECORDS: Final = 128
MAX_ANSWER_BYTES: Final = MAX_RECORDS_BYTES + MAX_CERTIFICATE_BYTES + 16 * MAX_RECORDS + 256

_REQUEST: Final = "p2p/mesh.capnp:JoinRequest"
_ANSWER: Final = "p2p/mesh.capnp:JoinAnswer"


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """`node` asks to be certified as a machine of `owner`."""

    invitation: Invitation
    secret: bytes = field(repr=False)
    node: bytes
    owner: OwnerId
    owner_proof: bytes

    def encode(self) -> bytes:
        return codec.encode(
            _REQUEST,
            version=VERSION,
            invitation=self.invitation.encode(),
            secret=self.secret,
            node=self.node,
            owner=bytes(self.owner),
            ownerProof=self.owner_proof,
        )

    def is_proven(self, mesh: MeshId) -> bool:
        """Whether the owner really wants this node in `mesh`."""
        return signing.verify(self.owner, JOIN_CONTEXT, bytes(mesh) + self.node, self.owner_proof)


@dataclass(frozen=True, slots=True)
class JoinAnswer:
    """The new member's certificate, and encoded records of members it can turn to; nothing here is verified."""

    certificate: Certificate
    members: tuple[bytes, ...]

    def encode(self) -> bytes:
        return codec.encode(_ANSWER, certificate=self.certificate.encode(), members=list(self.members))


def prove_owner(owner: SigningKey, mesh: MeshId, node: bytes) -> bytes:
    """The owner's word that `node` is to join `mesh` as its machine."""
    return owner.sign(JOIN_CONTEXT, bytes(mesh) + node)


def decode_request(data: bytes) -> JoinRequest:
    """Raises BadFrame or NewerFormat."""
    with codec.reading(_REQUEST, data, max_bytes=MAX_REQUEST_BYTES) as fields:
        check_version(fields.version, VERSION, "join request")
        return JoinRequest(
            invitation=decode_invitation(bytes(fields.invitation)),
            secret=exactly(bytes(fields.secret), SECRET_BYTES, "secret"),
            node=exactly(bytes(fields.node), signing.PUBLIC_KEY_BYTES, "node key"),
            owner=OwnerId(exactly(bytes(fields.owner), signing.PUBLIC_KEY_BYTES, "owner key")),
            owner_proof=exactly(bytes(fields.ownerProof), signing.SIGNATURE_BYTES, "owner's proof"),
        )


def decode_answer(data: bytes) -> JoinAnswer:
    """Raises BadFrame or NewerFormat."""
    with codec.reading(_ANSWER, data, max_bytes=MAX_ANSWER_BYTES) as fields:
        at_most(fields.members, MAX_RECORDS, "members")
        return JoinAnswer(decode_certificate(bytes(fields.certificate)), tuple(bytes(one) for one in fields.members))
