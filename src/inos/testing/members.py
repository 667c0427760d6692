"""A team to test with: a founder, machines with keys and certificates, and their records, all from fixed seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inos.core.ids import OwnerId, PeerId
from inos.crypto.hashing import blake3_digest
from inos.crypto.signing import SigningKey
from inos.state.capability import Capability
from inos.state.certificates import Certificate, Genesis, Grant, found_mesh, issue_certificate
from inos.state.membership import Membership
from inos.state.record import Record
from inos.state.records import sign_record
from inos.state.revocation import MEMBERS

ISSUED_MS = 1_800_000_000_000


def fixed_key(*labels: object) -> SigningKey:
    """The key of that name: the same in every run."""
    return SigningKey(blake3_digest("/".join(str(label) for label in labels).encode()))


@dataclass(frozen=True, slots=True)
class Machine:
    """One node: its key, its owner's, and its certificate."""

    key: SigningKey
    owner: SigningKey
    certificate: Certificate

    @property
    def node(self) -> bytes:
        return self.key.public_key

    @property
    def peer(self) -> PeerId:
        return PeerId.from_public_key(self.node)

    @property
    def address(self) -> str:
        """Where a MemoryFabric has it."""
        return f"/memory/{self.peer}/p2p/{self.peer}"

    def record(self, lamport: int = 1, **said: Any) -> Record:
        """Its record in table `members`; `said` are fields of Capability."""
        said.setdefault("addresses", (self.address,))
        value = Capability(certificate=self.certificate.encode(), **said).encode()
        return sign_record(self.key, MEMBERS, self.node, value, lamport)


class Team:
    """One mesh."""

    def __init__(self, name: str = "team") -> None:
        self.name = name
        self.founder = fixed_key(name, "founder")
        self.genesis: Genesis = found_mesh(OwnerId(self.founder.public_key), fixed_key(name, "nonce").public_key[:16])

    def machine(
        self,
        name: object,
        *,
        owner: SigningKey | None = None,
        issuer: Machine | None = None,
        may_invite: bool = True,
        genesis: Genesis | None = None,
    ) -> Machine:
        """A certified machine: the founder's own and certified by the founder, unless `owner` or `issuer` is given."""
        key, of = fixed_key(self.name, "node", name), owner or self.founder
        mesh = (genesis or self.genesis).mesh
        grant = Grant(mesh, key.public_key, OwnerId(of.public_key), may_invite, ISSUED_MS, key.public_key[:16])
        signer, above = (self.founder, None) if issuer is None else (issuer.key, issuer.certificate)
        return Machine(key, of, issue_certificate(signer, grant, above))

    def membership(self, *machines: Machine) -> Membership:
        """The view of somebody who knows the records of `machines`."""
        membership = Membership(self.genesis)
        for machine in machines:
            membership.apply_member(machine.record())
        return membership
