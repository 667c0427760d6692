"""The network seam: everything above this line sees peers, calls and topics, never sockets or libp2p.

Two implementations pass one suite (`inos.testing.network`): `mesh/libp2p_host.py` for machines, `sim/network.py` for
the simulator. Small interfaces, so that a consumer can ask for no more than it uses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from inos.core.errors import InosError
from inos.core.ids import PeerId

# A frame carries one envelope and at most one chunk (1 MiB of plaintext, sealed: nonce, tag, codec byte) or a batch of
# small ones that fits in the same room.
MAX_PAYLOAD_BYTES: Final = 1 << 20
MAX_BODY_BYTES: Final = (1 << 20) + 4096
# GossipSub costs about 1 ms of CPU a received copy and interleaves above 64 KiB: batch, stay below.
MAX_GOSSIP_BYTES: Final = 60_000


@dataclass(frozen=True, slots=True)
class Message:
    """One side of a call: a schema message, and raw bytes that need no decoding (chunks)."""

    payload: bytes = b""
    body: bytes = b""


Handler = Callable[[PeerId, Message], Awaitable[Message]]
PlainHandler = Callable[[PeerId, Message], Message]
Outcome = Message | InosError
GossipHandler = Callable[[PeerId, bytes], Awaitable[None]]
PeerHandler = Callable[[PeerId], None]


class Calls(Protocol):
    """Ask one peer, answer peers."""

    async def call(self, peer: PeerId, method: str, request: Message, *, timeout_s: float) -> Message:
        """The peer's answer. Raises the InosError the peer's handler raised (by its code), or PeerUnavailable when
        the peer cannot be reached, hangs up or takes longer than `timeout_s`. Safe to cancel."""

    def serve(self, method: str, handler: Handler, *, strangers: bool = False) -> None:
        """Answer `method`. Only members are served, except by methods registered with `strangers=True`. An exception
        other than InosError is answered as `internal`, logged, and hurts nobody else."""


class Signals(Protocol):
    """Calls without a task at either end: for what is said many times a second to many, and answered from memory."""

    def call_soon(
        self, peer: PeerId, method: str, request: Message, done: Callable[[Outcome], None], *, timeout_s: float
    ) -> None:
        """As `call`, without waiting: later `done` gets the answer, or the error that `call` would have raised, unless
        this network is closed first. `done` must not block or raise. Raises TooLarge, nothing else."""

    def serve_plain(self, method: str, handler: PlainHandler) -> None:
        """As `serve`, for members only, by a handler that never waits."""


class Gossip(Protocol):
    """Tell everybody, hear everybody; best effort, unordered, maybe twice."""

    async def publish(self, topic: str, data: bytes) -> None:
        """At most MAX_GOSSIP_BYTES; raises TooLarge beyond."""

    async def subscribe(self, topic: str, handler: GossipHandler) -> None:
        """`handler` gets what other members publish from now on (never one's own messages)."""


class Directory(Protocol):
    """Who has what: hints that may be stale, never proof."""

    async def announce(self, key: bytes) -> None: ...

    async def find(self, key: bytes, *, timeout_s: float) -> Sequence[PeerId]: ...


class Peers(Protocol):
    """Connections to members. A connection is proven membership on both sides."""

    def connected(self) -> frozenset[PeerId]: ...

    async def connect(self, addresses: Sequence[str], *, timeout_s: float) -> PeerId:
        """Dial multiaddrs ending in /p2p/<peer id>, newest knowledge first; raises PeerUnavailable or NotAMember."""

    async def disconnect(self, peer: PeerId) -> None: ...


class Introductions(Protocol):
    """Talk to somebody before either side is a member: how one joins."""

    async def ask(self, addresses: Sequence[str], method: str, request: Message, *, timeout_s: float) -> Message:
        """Dial as for `connect`, make one call to a method served to strangers, hang up unless connected otherwise.
        Raises what `call` raises."""


class PeerEvents(Protocol):
    def on_connected(self, handler: PeerHandler) -> None: ...

    def on_disconnected(self, handler: PeerHandler) -> None: ...

    def last_heard_s(self, peer: PeerId) -> float | None:
        """Monotonic time of the last frame received from `peer` on any stream, None when never."""


class Network(Calls, Signals, Gossip, Directory, Peers, Introductions, PeerEvents, Protocol):
    """All of it, as a node owns it."""

    @property
    def me(self) -> PeerId: ...

    def addresses(self) -> Sequence[str]:
        """Multiaddrs others can dial, each ending in /p2p/<me>."""


class Admission(Protocol):
    """Who may be served. Supplied to a Network by whoever keeps the membership."""

    def admits(self, peer: PeerId) -> bool:
        """Whether `peer` is a proven member, right now. Called for every inbound call; must be cheap."""

    def hello(self) -> bytes:
        """What we show to prove ourselves: an encoded p2p/mesh.capnp Hello."""

    def welcome(self, peer: PeerId, hello: bytes) -> None:
        """Check what `peer` showed and remember it. Raises NotAMember."""
