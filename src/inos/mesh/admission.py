"""Who may be served, by what they have shown: the Admission of a member, and of a node that is none yet.

Everything a stranger sends here is bounded, decoded and verified before it changes anything (at most five signature
checks, 0.6 ms), and every refusal is counted by its reason for metrics and `inos status`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from inos.core.errors import BadFrame, NewerFormat, NotAMember
from inos.core.ids import PeerId
from inos.mesh.network import Admission
from inos.state.capability import check_addresses
from inos.state.certificates import Fault, VerifiedMember, refusal
from inos.state.hello import Hello, decode_hello

log = logging.getLogger(__name__)


class Register(Protocol):
    """What admission needs of a Membership."""

    def admits(self, peer: PeerId) -> bool: ...

    def examine(self, certificate: bytes) -> VerifiedMember | Fault: ...

    def welcome(self, member: VerifiedMember) -> None: ...


WelcomeHandler = Callable[[PeerId, Sequence[str]], None]


class MemberAdmission:
    """The Admission of a member: shows `certificate`, asks others for theirs. `addresses` says where we are now."""

    def __init__(self, register: Register, certificate: bytes, addresses: Callable[[], Sequence[str]]) -> None:
        self.refusals: Counter[str] = Counter()
        self._register = register
        self._certificate = certificate
        self._addresses = addresses
        self._on_welcome: list[WelcomeHandler] = []

    def on_welcome(self, handler: WelcomeHandler) -> None:
        """`handler` learns where each welcomed peer says it can be reached."""
        self._on_welcome.append(handler)

    def admits(self, peer: PeerId) -> bool:
        return self._register.admits(peer)

    def hello(self) -> bytes:
        return Hello(self._certificate, tuple(self._addresses())).encode()

    def welcome(self, peer: PeerId, hello: bytes) -> None:
        """Raises NotAMember for every way of not being one, garbled bytes included."""
        try:
            shown = decode_hello(hello)
            if not shown.certificate:
                raise self._refused(peer, "no_certificate", NotAMember("no certificate was shown", hint=_JOIN))
            check_addresses(shown.addresses, peer)
            found = self._register.examine(shown.certificate)
        except NewerFormat as error:
            raise self._refused(peer, "newer", NotAMember(error.message, hint=error.hint)) from None
        except BadFrame as error:
            raise self._refused(peer, "garbled", NotAMember(f"garbled proof of membership: {error}")) from None
        if isinstance(found, Fault):
            raise self._refused(peer, found.value, refusal(found))
        if found.node != peer.public_key():
            raise self._refused(peer, "wrong_key", NotAMember("the certificate shown is of another node", hint=_JOIN))
        self._register.welcome(found)
        for handler in self._on_welcome:
            handler(peer, shown.addresses)

    def _refused(self, peer: PeerId, reason: str, error: NotAMember) -> NotAMember:
        self.refusals[reason] += 1
        log.debug("refused %s: %s", peer.short(), reason)
        return error


class JoinerAdmission:
    """The Admission of a node that opens its network before it is a member: nobody is admitted and nothing is shown,
    until `become` hands over to a member's. Joining itself needs no admission: it is asked for among strangers."""

    def __init__(self) -> None:
        self._inner: Admission | None = None

    def become(self, admission: Admission) -> None:
        """From now on this node is a member."""
        self._inner = admission

    def admits(self, peer: PeerId) -> bool:
        return self._inner is not None and self._inner.admits(peer)

    def hello(self) -> bytes:
        return Hello().encode() if self._inner is None else self._inner.hello()

    def welcome(self, peer: PeerId, hello: bytes) -> None:
        if self._inner is None:
            raise NotAMember("this node is not a member of a mesh yet", hint=_JOIN)
        self._inner.welcome(peer, hello)


_JOIN = "join the mesh with a ticket first: inos join"
