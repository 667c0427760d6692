"""What a member says of itself: the value of its record in table `members`.

Signed by the node, so it can lie only about itself: addresses must end in its own peer id, text is short and printable
because it reaches terminals, and the storage it offers is worth no more than MAX_WEIGHT to placement.
Layout: schema/p2p/mesh.capnp PeerCapability.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from inos.core import codec
from inos.core.errors import BadFrame
from inos.core.ids import OwnerId, PeerId
from inos.core.pure import pure
from inos.state.certificates import MAX_CERTIFICATE_BYTES
from inos.state.fields import at_most, check_version, line
from inos.state.tickets import MAX_ADDRESS_CHARS

VERSION: Final = 1
# Several interfaces times several transports, and relays.
MAX_ADDRESSES: Final = 16
MAX_REGION_CHARS: Final = 64
MAX_PROFILE_CHARS: Final = 32
# The longest a DNS label may be: node names default to the host's.
MAX_NAME_CHARS: Final = 63
# Certificate, addresses and text at their limits, and framing.
MAX_CAPABILITY_BYTES: Final = MAX_CERTIFICATE_BYTES + MAX_ADDRESSES * (MAX_ADDRESS_CHARS + 16) + 1024
_GIB: Final = 1 << 30
# 64 TiB, about what one machine holds; a member that claims more attracts no more.
MAX_WEIGHT: Final = float(64 << 10)

_CAPABILITY: Final = "p2p/mesh.capnp:PeerCapability"


@dataclass(frozen=True, slots=True)
class Capability:
    """A member's own account of itself. `certificate` is encoded; nothing is verified here."""

    certificate: bytes
    addresses: tuple[str, ...] = ()
    region: str = ""
    profile: str = ""
    storage_bytes: int = 0
    used_bytes: int = 0
    cores: int = 0
    memory_bytes: int = 0
    name: str = ""

    def encode(self) -> bytes:
        return codec.encode(
            _CAPABILITY,
            version=VERSION,
            certificate=self.certificate,
            addresses=list(self.addresses),
            region=self.region,
            profile=self.profile,
            storageBytes=self.storage_bytes,
            usedBytes=self.used_bytes,
            cores=self.cores,
            memoryBytes=self.memory_bytes,
            nodeName=self.name,
        )


@dataclass(frozen=True, slots=True)
class Member:
    """A proven, unrevoked member and what it says of itself. `node` is its public key; sizes are in bytes."""

    node: bytes
    peer: PeerId
    owner: OwnerId
    may_invite: bool
    addresses: tuple[str, ...]
    region: str
    profile: str
    storage_bytes: int
    used_bytes: int
    cores: int
    memory_bytes: int
    name: str

    @property
    def weight(self) -> float:
        """Its share in placement: GiB offered, capped. 0 stores nothing."""
        return min(self.storage_bytes / _GIB, MAX_WEIGHT)


@pure
def decode_capability(data: bytes) -> Capability:
    """Raises BadFrame or NewerFormat."""
    with codec.reading(_CAPABILITY, data, max_bytes=MAX_CAPABILITY_BYTES) as fields:
        check_version(fields.version, VERSION, "capability")
        at_most(fields.addresses, MAX_ADDRESSES, "addresses")
        return Capability(
            certificate=bytes(fields.certificate),
            addresses=tuple(line(str(text), MAX_ADDRESS_CHARS, "address") for text in fields.addresses),
            region=line(str(fields.region), MAX_REGION_CHARS, "region"),
            profile=line(str(fields.profile), MAX_PROFILE_CHARS, "profile"),
            storage_bytes=fields.storageBytes,
            used_bytes=fields.usedBytes,
            cores=fields.cores,
            memory_bytes=fields.memoryBytes,
            name=line(str(fields.nodeName), MAX_NAME_CHARS, "node name"),
        )


def check_addresses(addresses: Iterable[str], peer: PeerId) -> None:
    """Raises BadFrame when one of `addresses` does not lead to `peer`."""
    for address in addresses:
        if not address.endswith(f"/p2p/{peer}"):
            raise BadFrame(f"the address {address!r} does not lead to {peer.short()}")
