"""What two nodes show each other before anything else is served: a certificate and where to reach the sender.

Layout: schema/p2p/mesh.capnp Hello. Nothing is verified here; `mesh/admission.py` does it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from inos.core import codec
from inos.state.capability import MAX_ADDRESSES
from inos.state.certificates import MAX_CERTIFICATE_BYTES
from inos.state.fields import at_most, check_version, line
from inos.state.tickets import MAX_ADDRESS_CHARS

VERSION: Final = 1
# Certificate and addresses at their limits, and framing.
MAX_HELLO_BYTES: Final = MAX_CERTIFICATE_BYTES + MAX_ADDRESSES * (MAX_ADDRESS_CHARS + 16) + 256

_HELLO: Final = "p2p/mesh.capnp:Hello"


@dataclass(frozen=True, slots=True)
class Hello:
    """`certificate` is encoded; empty when the sender is a member of no mesh."""

    certificate: bytes = b""
    addresses: tuple[str, ...] = ()

    def encode(self) -> bytes:
        addresses = list(self.addresses[:MAX_ADDRESSES])
        return codec.encode(_HELLO, version=VERSION, certificate=self.certificate, addresses=addresses)


def decode_hello(data: bytes) -> Hello:
    """Raises BadFrame or NewerFormat."""
    with codec.reading(_HELLO, data, max_bytes=MAX_HELLO_BYTES) as hello:
        check_version(hello.version, VERSION, "hello")
        at_most(hello.addresses, MAX_ADDRESSES, "addresses")
        addresses = tuple(line(str(text), MAX_ADDRESS_CHARS, "address") for text in hello.addresses)
        return Hello(bytes(hello.certificate), addresses)
