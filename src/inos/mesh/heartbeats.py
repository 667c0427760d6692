"""Beats between connected members: small calls that keep silence meaningful, and the events they give rise to.

A beat is answered by a beat, so one call tells both sides that the other lives, and how loaded it is; whoever was
beaten to it does not call back within the same interval. At rest they are far apart; one that goes unanswered is
repeated at once, so that as many may be lost before silence is failure. Any frame counts as a sign of life, not beats
alone. Beats go to every member we are connected to (`links.py` bounds them to a few dozen); a member of a large mesh
that we keep no link to is not judged by us but by those who do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache, partial
from math import ceil, inf
from typing import Final, Protocol

from inos.core import codec
from inos.core.env import Env
from inos.core.errors import BadFrame, InosError
from inos.core.ids import PeerId
from inos.mesh.liveness import Change, Liveness
from inos.mesh.network import Message, Outcome, PeerEvents, Peers, Signals

log = logging.getLogger(__name__)

METHOD: Final = "mesh.beat"
# With the two that follow one that was lost, three before silence is failure, the last with half a second left for it.
BEAT_S: Final = 3.0
# So much earlier at most, so that the nodes of a mesh do not beat together.
JITTER: Final = 0.1
# Long enough for a peer far away; whoever takes longer shows that it lives by its own beats.
TIMEOUT_S: Final = 0.75
RETRIES: Final = 2
# Between two judgements at most: far below what `liveness.py` takes for a pause of our own.
_TICK_S: Final = 1.0
# A peer that beat us within this share of the interval need not be called in this round.
_FRESH: Final = 0.7
# Between two judgements: many peers about to fail one after another must not make a busy loop.
_SHORTEST_S: Final = 0.05
_BEAT: Final = "p2p/mesh.capnp:Beat"
_VERSION: Final = 1
_MAX_BEAT_BYTES: Final = 256
_ROOTS_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Beat:
    """`load` is 0..1; `roots` is one digest over the tables of the sender that everybody has, `everything` one over all
    its tables. Both are empty when it cannot tell."""

    load: float = 0.0
    roots: bytes = b""
    everything: bytes = b""

    def encode(self) -> bytes:
        return _encode(self.load, self.roots, self.everything)


# A mesh at rest says the same in each beat, and a node hears some dozens of others.
@lru_cache(maxsize=16)
def _encode(load: float, roots: bytes, everything: bytes) -> bytes:
    return codec.encode(_BEAT, version=_VERSION, load=load, roots=roots, everything=everything)


@lru_cache(maxsize=256)
def decode_beat(data: bytes) -> Beat:
    """Raises BadFrame. A later version's beat is read as far as it is known here."""
    with codec.reading(_BEAT, data, max_bytes=_MAX_BEAT_BYTES) as beat:
        load, roots, everything = float(beat.load), bytes(beat.roots), bytes(beat.everything)
        sizes = {len(roots), len(everything)}
        if beat.version == 0 or not sizes <= {0, _ROOTS_BYTES} or not 0.0 <= load <= 1.0:
            raise BadFrame("not a heartbeat")
        return Beat(load, roots, everything)


class Wires(Signals, Peers, PeerEvents, Protocol):
    """What beating needs of a network."""

    @property
    def me(self) -> PeerId: ...


ChangeHandler = Callable[[Change], None]
BeatHandler = Callable[[PeerId, Beat], None]


class Heartbeats:
    """Beats and listens for one node. `own` gives our beat; `watched` names the peers to judge, asked every round."""

    def __init__(
        self,
        network: Wires,
        env: Env,
        liveness: Liveness,
        *,
        own: Callable[[], Beat],
        watched: Callable[[], Collection[PeerId]],
    ) -> None:
        self._network = network
        self._env = env
        self._liveness = liveness
        self._own = own
        self._watched = watched
        self._beaten_s: dict[PeerId, float] = {}
        self._calling: set[PeerId] = set()
        self._unanswered: dict[PeerId, int] = {}
        self._beating = False
        self._said = Beat()
        self._message = Message(self._said.encode())
        self._on_change: list[ChangeHandler] = []
        self._on_beat: list[BeatHandler] = []
        network.serve_plain(METHOD, self._answer)
        network.on_connected(self._greet)

    def on_change(self, handler: ChangeHandler) -> None:
        """`handler` is told of every peer that comes up or fails; it must not block."""
        self._on_change.append(handler)

    def on_beat(self, handler: BeatHandler) -> None:
        """`handler` gets what each peer says of itself; it must not block."""
        self._on_beat.append(handler)

    async def run(self) -> None:
        """Beat until cancelled."""
        self._beating = True
        while True:
            beat_at_s = self._env.monotonic_s() + BEAT_S * self._jittered()
            self._beat_round()
            while (left_s := beat_at_s - (now_s := self._env.monotonic_s())) > 0:
                pause_s = min(left_s / ceil(left_s / _TICK_S), max(self._liveness.deadline_s() - now_s, _SHORTEST_S))
                await self._env.pause(pause_s)
                self.observe()

    def observe(self) -> None:
        """Judge everybody by what the network heard up to now."""
        now_s = self._env.monotonic_s()
        watched = self._watched()
        self._liveness.watch(watched, now_s)
        # Whoever cannot fail before the next look need not be asked about now: in a mesh that is well, nearly all.
        for peer in self._liveness.doubtful(now_s + _TICK_S):
            if (heard_s := self._network.last_heard_s(peer)) is not None:
                self._liveness.heard(peer, heard_s)
        for change in self._liveness.tick(now_s):
            log.info("%s is %s", change.peer.short(), change.state)
            for handler in self._on_change:
                handler(change)

    def _jittered(self) -> float:
        return 1 - JITTER * self._env.random.random()

    def _beat_round(self) -> None:
        now_s = self._env.monotonic_s()
        connected = self._network.connected()
        for gone in self._beaten_s.keys() - connected:
            del self._beaten_s[gone]
            self._unanswered.pop(gone, None)
        # Both ends of a link keep to this, so no two beats on it are further apart than an interval: whoever was beaten
        # to it relies on the other's next one.
        fresh_s, beaten_s = now_s - BEAT_S * _FRESH, self._beaten_s
        due = [peer for peer in connected if peer not in self._calling and beaten_s.get(peer, -inf) < fresh_s]
        message = self._own_message()
        for peer in sorted(due):
            self._unanswered.pop(peer, None)
            self._call(peer, message)

    def _greet(self, peer: PeerId) -> None:
        """What both have to say is news to whoever has just connected: the lesser of the two does not wait."""
        if self._beating and self._network.me < peer and peer not in self._calling:
            self._call(peer, self._own_message())

    def _call(self, peer: PeerId, message: Message) -> None:
        self._calling.add(peer)
        self._network.call_soon(peer, METHOD, message, partial(self._answered, peer), timeout_s=TIMEOUT_S)

    def _answered(self, peer: PeerId, outcome: Outcome) -> None:
        self._calling.discard(peer)
        try:
            if isinstance(outcome, InosError):
                raise outcome
            self._note(peer, decode_beat(outcome.payload))
        except InosError as error:
            log.debug("no beat from %s: %s", peer.short(), error)
            self._call_again(peer)

    def _call_again(self, peer: PeerId) -> None:
        tries = self._unanswered[peer] = self._unanswered.get(peer, 0) + 1
        if tries <= RETRIES and peer in self._network.connected():
            self._call(peer, self._own_message())

    def _answer(self, peer: PeerId, request: Message) -> Message:
        self._note(peer, decode_beat(request.payload))
        return self._own_message()

    def _own_message(self) -> Message:
        """What this node says now: the same bytes as long as that is the same."""
        beat = self._own()
        if beat is not self._said:
            self._said, self._message = beat, Message(beat.encode())
        return self._message

    def _note(self, peer: PeerId, beat: Beat) -> None:
        self._beaten_s[peer] = self._env.monotonic_s()
        self._unanswered.pop(peer, None)
        for handler in self._on_beat:
            handler(peer, beat)
