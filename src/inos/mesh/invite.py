"""Making tickets: who may, for how long, and whom the joiner is told to ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from inos.core.env import Env
from inos.core.errors import BadInput
from inos.crypto.signing import SigningKey
from inos.state.invitations import ID_BYTES, SECRET_BYTES, Terms, make_invitation
from inos.state.membership import Membership
from inos.state.tickets import MAX_ADDRESSES, Ticket, make_ticket

# Longer is a standing door that nobody remembers.
MIN_LIFETIME_S: Final = 1.0
MAX_LIFETIME_S: Final = 30 * 86_400.0
# Of each other member named in a ticket for many: its likeliest addresses.
_ADDRESSES_EACH: Final = 2


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for. `may_invite`: those who join may invite others."""

    lifetime_s: float
    single_use: bool = True
    may_invite: bool = False


def invite(env: Env, key: SigningKey, membership: Membership, addresses: Sequence[str], wish: Wish) -> Ticket:
    """A ticket by the node of `key`, reachable at `addresses`. By a node that may not invite it admits nobody but the
    founder of the mesh, who so returns after losing every machine. Raises BadInput for a lifetime out of bounds or when
    nobody could be asked."""
    if not MIN_LIFETIME_S <= wish.lifetime_s <= MAX_LIFETIME_S:
        raise BadInput("a ticket lives between a second and 30 days", hint="give another --lifetime")
    terms = Terms(int((env.now_s() + wish.lifetime_s) * 1000), wish.single_use, wish.may_invite)
    secret, invitation_id = env.token_bytes(SECRET_BYTES), env.token_bytes(ID_BYTES)
    invitation = make_invitation(key, membership.genesis.mesh, terms, invitation_id=invitation_id, secret=secret)
    ask = list(addresses) if wish.single_use else _doors(key.public_key, membership, addresses)
    return make_ticket(membership.genesis, invitation, secret, ask)


def may_invite(key: SigningKey, membership: Membership) -> bool:
    """Whether tickets of this node admit others than the founder."""
    member = membership.verified(key.public_key)
    return member is not None and member.may_invite


def _doors(me: bytes, membership: Membership, mine: Sequence[str]) -> list[str]:
    """Where a ticket for many can be used: here first, then other members that may invite, in order of key."""
    others = [
        address
        for node, member in sorted(membership.members().items())
        if node != me and member.may_invite
        for address in member.addresses[:_ADDRESSES_EACH]
    ]
    return [*mine[: MAX_ADDRESSES // 2], *others][:MAX_ADDRESSES]
