"""Invitations: a member's signed word that whoever knows a secret may join until a given time.

The secret travels in a ticket (`tickets.py`) and is shown to the redeeming member; the invitation itself holds only its
BLAKE3, so it may be stored and shown to anybody. Whether it has expired is decided by the clock of the member that
redeems it, because a joiner's clock is the one nobody has checked. Layout: schema/p2p/mesh.capnp.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final

from inos.core import codec
from inos.core.errors import BadInput
from inos.core.ids import MeshId
from inos.crypto import signing
from inos.crypto.hashing import blake3_digest
from inos.crypto.signing import SigningKey
from inos.state.fields import check_version, exactly

INVITATION_CONTEXT: Final = b"inos invitation v1"
VERSION: Final = 1
ID_BYTES: Final = 16
SECRET_BYTES: Final = 16
# Body about 200 bytes, signature 64, framing; the rest is room for a later version's fields.
MAX_INVITATION_BYTES: Final = 1024

_INVITATION: Final = "p2p/mesh.capnp:Invitation"
_BODY: Final = "p2p/mesh.capnp:InvitationBody"


@dataclass(frozen=True, slots=True)
class Terms:
    """What an inviter decides. `expires_ms` is wall-clock milliseconds since 1970."""

    expires_ms: int
    single_use: bool
    may_invite: bool = False


@dataclass(frozen=True, slots=True)
class Invitation:
    """A decoded invitation, its signature not yet checked. `hidden_secret` is the digest, never the secret."""

    mesh: MeshId
    id: bytes
    terms: Terms
    issuer: bytes
    hidden_secret: bytes
    body: bytes
    signature: bytes

    def encode(self) -> bytes:
        return codec.encode(_INVITATION, version=VERSION, body=self.body, signature=self.signature)

    def is_signed(self) -> bool:
        """Whether the issuer it names really signed it."""
        return signing.verify(self.issuer, INVITATION_CONTEXT, self.body, self.signature)

    def opens_with(self, secret: bytes) -> bool:
        """Whether `secret` is the one the ticket holds."""
        return hmac.compare_digest(hide(secret), self.hidden_secret)

    def expired(self, now_s: float) -> bool:
        return now_s * 1000 >= self.terms.expires_ms


def hide(secret: bytes) -> bytes:
    """What an invitation keeps of its secret: as hard to invert as the secret is to guess (128 bits)."""
    return blake3_digest(secret)[:SECRET_BYTES]


def make_invitation(key: SigningKey, mesh: MeshId, terms: Terms, *, invitation_id: bytes, secret: bytes) -> Invitation:
    """Signed by the inviting node's `key`. `invitation_id` and `secret` are 16 unpredictable bytes each."""
    if len(secret) != SECRET_BYTES:
        raise BadInput(f"an invitation's secret has {SECRET_BYTES} bytes, got {len(secret)}")
    body = codec.encode(
        _BODY,
        version=VERSION,
        mesh=bytes(mesh),
        id=invitation_id,
        expiresMs=terms.expires_ms,
        singleUse=terms.single_use,
        mayInvite=terms.may_invite,
        issuer=key.public_key,
        secret=hide(secret),
    )
    return _decoded(body, key.sign(INVITATION_CONTEXT, body))


def decode_invitation(data: bytes) -> Invitation:
    """Raises BadFrame or NewerFormat."""
    with codec.reading(_INVITATION, data, max_bytes=MAX_INVITATION_BYTES) as invitation:
        check_version(invitation.version, VERSION, "invitation")
        return _decoded(bytes(invitation.body), bytes(invitation.signature))


def _decoded(body: bytes, signature: bytes) -> Invitation:
    with codec.reading(_BODY, body, max_bytes=MAX_INVITATION_BYTES) as fields:
        check_version(fields.version, VERSION, "invitation body")
        return Invitation(
            mesh=MeshId(exactly(fields.mesh, signing.PUBLIC_KEY_BYTES, "mesh id")),
            id=exactly(fields.id, ID_BYTES, "invitation id"),
            terms=Terms(fields.expiresMs, fields.singleUse, fields.mayInvite),
            issuer=exactly(fields.issuer, signing.PUBLIC_KEY_BYTES, "issuer key"),
            hidden_secret=exactly(fields.secret, SECRET_BYTES, "hidden secret"),
            body=body,
            signature=exactly(signature, signing.SIGNATURE_BYTES, "signature"),
        )
