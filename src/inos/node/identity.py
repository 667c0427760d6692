"""Which owner, which node, which mesh: from the data root's keys and what the database remembers.

A node that has never joined a mesh founds one of its own at its first start, with its owner as the founder; other
machines join it by a ticket. A node that joined keeps the other mesh's genesis and its own certificate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from inos.core.env import Env
from inos.core.ids import OwnerId, PeerId
from inos.crypto.derive import Keyring
from inos.crypto.signing import SigningKey
from inos.state.certificates import (
    SERIAL_BYTES,
    Certificate,
    Genesis,
    Grant,
    decode_certificate,
    decode_genesis,
    found_mesh,
    issue_certificate,
)

_GENESIS: Final = "mesh/genesis"
_CERTIFICATE: Final = "mesh/certificate"
_NONCE_BYTES: Final = 16


class Settings(Protocol):
    def get(self, key: str) -> bytes | None: ...

    def put(self, values: dict[str, bytes]) -> None: ...


@dataclass(frozen=True, slots=True)
class Identity:
    """The keys and proofs of one node."""

    keyring: Keyring = field(repr=False)
    owner_key: SigningKey = field(repr=False)
    node_key: SigningKey = field(repr=False)
    genesis: Genesis
    certificate: Certificate

    @property
    def owner(self) -> OwnerId:
        return OwnerId(self.owner_key.public_key)

    @property
    def node(self) -> bytes:
        """The node's public key."""
        return self.node_key.public_key

    @property
    def peer(self) -> PeerId:
        return PeerId.from_public_key(self.node)


def load_identity(keyring: Keyring, node_key: SigningKey, settings: Settings, env: Env) -> Identity:
    """The identity of this data root; founds a mesh at the first start. Blocks."""
    owner_key = keyring.owner_key()
    genesis, certificate = settings.get(_GENESIS), settings.get(_CERTIFICATE)
    if genesis is None or certificate is None:
        founded, issued = _found(owner_key, node_key, env)
        remember_mesh(settings, founded, issued)
        return Identity(keyring, owner_key, node_key, founded, issued)
    return Identity(keyring, owner_key, node_key, decode_genesis(genesis), decode_certificate(certificate))


def knows_its_mesh(settings: Settings) -> bool:
    """Whether this data root says which mesh it belongs to: it founds one of its own otherwise. Blocks."""
    return settings.get(_GENESIS) is not None and settings.get(_CERTIFICATE) is not None


def remember_mesh(settings: Settings, genesis: Genesis, certificate: Certificate) -> None:
    """From the next start on this node belongs to that mesh."""
    settings.put({_GENESIS: genesis.encoded, _CERTIFICATE: certificate.encode()})


def _found(owner_key: SigningKey, node_key: SigningKey, env: Env) -> tuple[Genesis, Certificate]:
    owner = OwnerId(owner_key.public_key)
    genesis = found_mesh(owner, env.token_bytes(_NONCE_BYTES))
    serial, issued_ms = env.token_bytes(SERIAL_BYTES), int(env.now_s() * 1000)
    grant = Grant(genesis.mesh, node_key.public_key, owner, True, issued_ms, serial)
    return genesis, issue_certificate(owner_key, grant)
