"""Who is alive: a state machine over "last heard" times, and the share of time each member was.

    UNKNOWN --heard--> ALIVE --silent for FAILED_AFTER_S--> FAILED --heard--> ALIVE
       \\--silent for FAILED_AFTER_S since watched--> FAILED

Rules: monotonic seconds only, so a wrong or jumping wall clock changes nothing. When our own process stood still (a
laptop asleep, a stopped process), silence proves nothing about others: everybody gets the whole time again, and the gap
counts neither for nor against anyone's availability. Only peers that are watched are judged. Pure: `heartbeats.py` is
the shell that feeds it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import Final

from inos.core.ids import PeerId

# A beat of 3 s and the two that follow at once where it was lost, and half a second for the last.
FAILED_AFTER_S: Final = 5.0
# Ticks come at least every second; nearly twice as long is a pause of ours, not of everybody else. With the beat before
# it (3 s) it must stay below FAILED_AFTER_S.
OWN_PAUSE_S: Final = 1.9
# Observation is halved when it reaches this: what a member did last month matters more than last year.
_WINDOW_S: Final = 30 * 86_400.0
# What is assumed of a member before it was watched: 95 % of one day.
_PRIOR_S: Final = 86_400.0
_PRIOR_SHARE: Final = 0.95


class State(StrEnum):
    UNKNOWN = "unknown"
    ALIVE = "alive"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Change:
    """A watched peer changed its state at `at_s` (monotonic)."""

    peer: PeerId
    state: State
    at_s: float


@dataclass(frozen=True, slots=True)
class Observed:
    """For how many seconds a peer was watched, and alive meanwhile."""

    observed_s: float = 0.0
    alive_s: float = 0.0

    @property
    def availability(self) -> float:
        """0..1: the share of time alive, leaning on the prior until there is a day or so of observation."""
        return (self.alive_s + _PRIOR_S * _PRIOR_SHARE) / (self.observed_s + _PRIOR_S)


@dataclass(slots=True)
class _Tally:
    """An Observed that grows in place."""

    observed_s: float = 0.0
    alive_s: float = 0.0

    def add(self, seconds: float, *, alive: bool) -> None:
        self.observed_s += seconds
        if alive:
            self.alive_s += seconds
        while self.observed_s > _WINDOW_S:
            self.observed_s *= 0.5
            self.alive_s *= 0.5

    def observed(self) -> Observed:
        return Observed(self.observed_s, self.alive_s)


@dataclass(slots=True)
class _Watch:
    """`quiet_s`: last sign of life, or later, where silence before it proves nothing. `counted_s`: up to where in the
    time observed its tally goes."""

    quiet_s: float
    since_s: float
    counted_s: float
    heard_s: float | None = None
    state: State = State.UNKNOWN


class Liveness:
    """The state of every watched peer. Feed it `heard`, of those that are `doubtful` at least, and `tick`; not for
    several threads."""

    def __init__(self, *, failed_after_s: float = FAILED_AFTER_S) -> None:
        self._failed_after_s = failed_after_s
        self._watched: dict[PeerId, _Watch] = {}
        self._wanted: frozenset[PeerId] = frozenset()
        self._failed: frozenset[PeerId] | None = frozenset()
        self._observed: dict[PeerId, _Tally] = {}
        # All watched are alive, and nobody has been quiet for longer; not to be believed as soon as one may be.
        self._quiet_s = -inf
        # Somebody has been heard since, so that nobody may have been quiet for that long.
        self._heard = False
        # Seconds between ticks so far, without pauses of ours: what each watch is counted by once somebody asks, or it
        # changes its state.
        self._observed_s = 0.0
        self._ticked_s: float | None = None

    def watch(self, peers: Collection[PeerId], now_s: float) -> None:
        """Judge exactly these from now on. New ones have the whole time to be heard."""
        if peers is self._wanted or (wanted := frozenset(peers)) == self._wanted:
            return
        for peer in [peer for peer in self._watched if peer not in wanted]:
            self._count(peer, self._watched.pop(peer))
        # In an order of their own: changes are told in it, and sets have another one in each process.
        for peer in sorted(wanted - self._watched.keys()):
            self._watched[peer] = _Watch(now_s, now_s, self._observed_s)
        self._wanted, self._failed, self._quiet_s = wanted, None, -inf

    def heard(self, peer: PeerId, at_s: float) -> None:
        """A frame came from `peer` at `at_s`. Peers not watched are ignored; `tick` draws the conclusions."""
        watch = self._watched.get(peer)
        if watch is None or (watch.heard_s is not None and at_s <= watch.heard_s):
            return
        watch.heard_s = at_s
        if at_s > watch.quiet_s:
            watch.quiet_s = at_s
            self._heard = True

    def doubtful(self, by_s: float) -> list[PeerId]:
        """Of whom it matters whether they were heard since we last knew: those not taken for alive, and those who fail
        by `by_s` unless they were."""
        silent_s = by_s - self._failed_after_s
        if silent_s < self._quiet_s:
            return []
        doubtful = [
            peer for peer, watch in self._watched.items() if watch.quiet_s <= silent_s or watch.state is not State.ALIVE
        ]
        if not doubtful:
            self._look_again()
        return doubtful

    def _look_again(self) -> None:
        self._quiet_s = min([watch.quiet_s for watch in self._watched.values()], default=inf)
        self._heard = False

    def tick(self, now_s: float) -> list[Change]:
        """What changed by `now_s`. To be called at least every OWN_PAUSE_S; a longer gap is a pause of our own."""
        passed_s = 0.0 if self._ticked_s is None else now_s - self._ticked_s
        self._ticked_s = now_s
        if passed_s > OWN_PAUSE_S:
            self._forgive(now_s)
        elif passed_s > 0:
            self._observed_s += passed_s
        # Nearly all are alive and were heard lately: of these there is nothing to judge.
        doubtful = self.doubtful(now_s)
        changes = [change for peer in doubtful if (change := self._judge(peer, self._watched[peer], now_s))]
        if changes:
            self._failed, self._quiet_s = None, -inf
        return changes

    def deadline_s(self) -> float:
        """When the next peer may fail unless it is heard before; infinite when none can."""
        if self._quiet_s > -inf:
            if self._heard:
                self._look_again()
            return self._quiet_s + self._failed_after_s
        waiting = (watch.quiet_s for watch in self._watched.values() if watch.state is not State.FAILED)
        return min(waiting, default=inf) + self._failed_after_s

    def state(self, peer: PeerId) -> State:
        """UNKNOWN for peers that are not watched."""
        watch = self._watched.get(peer)
        return State.UNKNOWN if watch is None else watch.state

    def alive(self) -> frozenset[PeerId]:
        return frozenset(peer for peer, watch in self._watched.items() if watch.state is State.ALIVE)

    def failed(self) -> frozenset[PeerId]:
        if self._failed is None:
            self._failed = frozenset(peer for peer, watch in self._watched.items() if watch.state is State.FAILED)
        return self._failed

    def failed_for_s(self, peer: PeerId, now_s: float) -> float | None:
        """For how long `peer` has been failed; None when it is not known to be."""
        watch = self._watched.get(peer)
        return now_s - watch.since_s if watch is not None and watch.state is State.FAILED else None

    def availability(self, peer: PeerId) -> float:
        """0..1, measured; 0.95 for a peer never watched."""
        if (watch := self._watched.get(peer)) is not None:
            self._count(peer, watch)
        return self._observed.get(peer, _Tally()).observed().availability

    def export(self) -> Mapping[PeerId, Observed]:
        """What was measured, for keeping over a restart."""
        self._count_all()
        return {peer: tally.observed() for peer, tally in self._observed.items()}

    def restore(self, observed: Mapping[PeerId, Observed]) -> None:
        """Go on from what an earlier run exported."""
        self._count_all()
        self._observed.update((peer, _Tally(one.observed_s, one.alive_s)) for peer, one in observed.items())

    def forget(self, peer: PeerId) -> None:
        """Drop all that is known of a peer that is no longer a member."""
        if self._watched.pop(peer, None) is not None:
            self._wanted, self._failed = self._wanted - {peer}, None
        self._observed.pop(peer, None)

    def _forgive(self, now_s: float) -> None:
        for watch in self._watched.values():
            watch.quiet_s = max(watch.quiet_s, now_s)

    def _count_all(self) -> None:
        for peer, watch in self._watched.items():
            self._count(peer, watch)

    def _count(self, peer: PeerId, watch: _Watch) -> None:
        """Add to the peer's tally the time that it has been in its state and is not counted yet."""
        passed_s, watch.counted_s = self._observed_s - watch.counted_s, self._observed_s
        if passed_s > 0 and watch.state is not State.UNKNOWN:
            tally = self._observed.get(peer)
            if tally is None:
                tally = self._observed[peer] = _Tally()
            tally.add(passed_s, alive=watch.state is State.ALIVE)

    def _judge(self, peer: PeerId, watch: _Watch, now_s: float) -> Change | None:
        if watch.state is not State.FAILED and now_s - watch.quiet_s >= self._failed_after_s:
            state = State.FAILED
        elif watch.heard_s is not None and now_s - watch.heard_s < self._failed_after_s:
            state = State.ALIVE
        else:
            return None  # still within the time it was given, or still silent
        if state is watch.state:
            return None
        self._count(peer, watch)
        watch.state, watch.since_s = state, now_s
        return Change(peer, state, now_s)
