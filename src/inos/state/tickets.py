"""Tickets: what `inos invite` prints and `inos join` takes, as one word that survives chat windows and line wraps.

    inos + base32(lower case, no padding) of Ticket message + first 4 bytes of its BLAKE3

The checksum catches every slip of the hand but one in four billion. Case and white space do not matter. Whoever has a
ticket can use it, so its secret prints only where `text()` is asked for.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from inos.core import codec
from inos.core.errors import BadFrame, BadInput, BadTicket, NewerFormat
from inos.crypto.hashing import blake3_digest
from inos.state.certificates import Genesis, decode_genesis
from inos.state.fields import at_most, check_version, exactly, line
from inos.state.invitations import SECRET_BYTES, Invitation, decode_invitation

PREFIX: Final = "inos"
VERSION: Final = 1
# Enough members to ask that some are up; each address makes the ticket 150 characters longer.
MAX_ADDRESSES: Final = 8
# The longest address seen: a circuit relay behind WebRTC-direct with its certificate hash, under 250 characters.
MAX_ADDRESS_CHARS: Final = 256
# Eight of the longest addresses, genesis, invitation and framing.
MAX_TICKET_BYTES: Final = 4096
_CHECKSUM_BYTES: Final = 4
# Base32 carries 5 bits a character; white space of wrapped lines may double it.
_MAX_CHARS: Final = 2 * 8 * (MAX_TICKET_BYTES + _CHECKSUM_BYTES) // 5
_ALPHABET: Final = frozenset("abcdefghijklmnopqrstuvwxyz234567")
_TICKET: Final = "p2p/mesh.capnp:Ticket"
_COPY_HINT: Final = "copy the whole ticket again, from 'inos' to its last character"


@dataclass(frozen=True, slots=True)
class Ticket:
    """An invitation with the secret that opens it and the members to ask, the inviting one first."""

    genesis: Genesis
    invitation: Invitation
    secret: bytes = field(repr=False)
    addresses: tuple[str, ...]

    def text(self) -> str:
        """The ticket as a person passes it on: a secret."""
        data = codec.encode(
            _TICKET,
            version=VERSION,
            genesis=self.genesis.encoded,
            invitation=self.invitation.encode(),
            secret=self.secret,
            addresses=list(self.addresses),
        )
        return PREFIX + _base32(data + _checksum(data))


def make_ticket(genesis: Genesis, invitation: Invitation, secret: bytes, addresses: Sequence[str]) -> Ticket:
    """A ticket of the first MAX_ADDRESSES addresses. Raises BadInput when there is none: nobody could be asked."""
    if not addresses:
        raise BadInput("this node has no address others could reach", hint="give 'inos up' a --listen address")
    return Ticket(genesis, invitation, secret, tuple(addresses[:MAX_ADDRESSES]))


def parse_ticket(text: str) -> Ticket:
    """The ticket in `text`. Raises BadTicket: garbled, or of another version. Says nothing of expiry (`expired`)."""
    data = _unarmoured(text)
    try:
        ticket = _decoded(data)
    except NewerFormat as error:
        raise BadTicket(f"the ticket is of a newer release: {error}", hint="update INOS on this machine") from None
    except BadInput as error:
        raise BadTicket(f"the ticket is garbled: {error}", hint=_COPY_HINT) from None
    if ticket.invitation.mesh != ticket.genesis.mesh or not ticket.invitation.opens_with(ticket.secret):
        raise BadTicket("the ticket contradicts itself", hint="ask for a new one: inos invite")
    if not ticket.addresses:
        raise BadTicket("the ticket names nobody to ask", hint="ask for a new one: inos invite")
    return ticket


def _unarmoured(text: str) -> bytes:
    if len(text) > _MAX_CHARS:
        raise BadTicket(f"{len(text)} characters are too many for a ticket", hint=_COPY_HINT)
    letters = "".join(text.split()).lower()
    if not letters.startswith(PREFIX):
        raise BadTicket(f"a ticket starts with {PREFIX!r}", hint=_COPY_HINT)
    letters = letters.removeprefix(PREFIX)
    for place, letter in enumerate(letters, start=len(PREFIX) + 1):
        if letter not in _ALPHABET:
            raise BadTicket(f"a ticket never holds {letter!r} (character {place})", hint=_COPY_HINT)
    try:
        raw = base64.b32decode(letters.upper() + "=" * (-len(letters) % 8))
    except ValueError:
        raise BadTicket("the ticket is incomplete", hint=_COPY_HINT) from None
    data, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
    # The last letter carries spare bits that decoding ignores: any but the one spelling is a typing error too.
    if len(raw) <= _CHECKSUM_BYTES or _checksum(data) != checksum or _base32(raw) != letters:
        raise BadTicket("the ticket has a typing error or is incomplete", hint=_COPY_HINT)
    return data


def _decoded(data: bytes) -> Ticket:
    with codec.reading(_TICKET, data, max_bytes=MAX_TICKET_BYTES) as ticket:
        check_version(ticket.version, VERSION, "ticket")
        at_most(ticket.addresses, MAX_ADDRESSES, "addresses")
        addresses = tuple(line(str(text), MAX_ADDRESS_CHARS, "address") for text in ticket.addresses)
        secret = exactly(ticket.secret, SECRET_BYTES, "secret")
        genesis, invitation = bytes(ticket.genesis), bytes(ticket.invitation)
    if not all("/p2p/" in address for address in addresses):
        raise BadFrame("an address names no peer")
    return Ticket(decode_genesis(genesis), decode_invitation(invitation), secret, addresses)


def _checksum(data: bytes) -> bytes:
    return blake3_digest(data)[:_CHECKSUM_BYTES]


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()
