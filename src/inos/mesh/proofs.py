"""Proving a connection: both sides show their certificate before anything else passes.

The dialling side calls `mesh.hello` with its hello and gets the other's back; having checked it, it calls `mesh.ready`.
Each side trusts a link (serves it) once it has accepted the peer's hello on it, and holds it proven (uses it, tells
others of it) once it knows that the peer has accepted its own: the dialling side by the answer to `mesh.ready`, the
answering side by the call. Always both calls: neither side can know what the other remembers of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, Generic, Protocol, TypeVar

from inos.core.errors import BadFrame, NotAMember, PeerUnavailable
from inos.core.ids import PeerId
from inos.mesh.calls import CallPool
from inos.mesh.network import Admission, Message

HELLO: Final = "mesh.hello"
READY: Final = "mesh.ready"
# A certificate with its chain and a handful of addresses; strangers' frames are bounded at 64 KiB anyway.
MAX_HELLO_BYTES: Final = 60 * 1024


class ProvableLink(Protocol):
    """What is proven: a connection to an authenticated peer."""

    peer: PeerId
    trusts: bool


L = TypeVar("L", bound=ProvableLink)


class Proofs(Generic[L]):
    """Both halves of the exchange. `proven` is awaited when a link has become so."""

    def __init__(
        self,
        admission: Admission,
        refused: Counter[str],
        proven: Callable[[L], Awaitable[None]],
        *,
        timeout_s: float,
    ) -> None:
        self._admission = admission
        self._refused = refused
        self._proven = proven
        self._timeout_s = timeout_s

    async def prove(self, link: L, pool: CallPool) -> None:
        """The dialling side's half, over a pool on that very link. Raises NotAMember, PeerUnavailable."""
        try:
            answer = await pool.call(HELLO, Message(self._admission.hello()), timeout_s=self._timeout_s)
            self._welcome(link.peer, answer.payload)
            link.trusts = True  # before we say so: their first stream may overtake the answer's reader
            await pool.call(READY, Message(), timeout_s=self._timeout_s)
        except BadFrame as error:
            raise PeerUnavailable(f"{link.peer.short()} does not speak our protocol: {error}") from None
        finally:
            pool.close()
        await self._proven(link)

    async def answer(self, link: L, method: str, request: Message) -> Message:
        """The answering side's half, for the methods HELLO and READY. Raises NotAMember."""
        if method == HELLO:
            self._welcome(link.peer, request.payload)
            link.trusts = True
            return Message(self._admission.hello())
        if not link.trusts:
            raise NotAMember("hello comes first")
        await self._proven(link)
        return Message()

    def _welcome(self, peer: PeerId, hello: bytes) -> None:
        try:
            if len(hello) > MAX_HELLO_BYTES:
                raise NotAMember(f"a hello of {len(hello)} bytes is over the limit of {MAX_HELLO_BYTES}")
            self._admission.welcome(peer, hello)
            if not self._admission.admits(peer):
                raise NotAMember(f"{peer.short()} is not a member of this mesh", hint="join it with a ticket first")
        except BadFrame as error:
            self._refused["member"] += 1
            raise NotAMember(f"the hello of {peer.short()} does not decode: {error}") from None
        except NotAMember:
            self._refused["member"] += 1
            raise
