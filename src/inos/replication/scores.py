"""What this node has seen of each peer: how fast it answers, how often it fails, what it is busy with. Pure state.

Rows ME4 and RE5: moving averages decide who is asked first and when to hedge to the next.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_SMOOTHING: Final = 0.2  # of the newest sample: about the last ten answers count
_UNKNOWN_LATENCY_S: Final = 0.05
_HEDGE_FACTOR: Final = 4.0
_HEDGE_MIN_S, _HEDGE_MAX_S = 0.15, 2.0
# A failure weighs like this many seconds of latency, and half as much after each success.
_FAILURE_PENALTY_S: Final = 2.0


@dataclass(slots=True)
class _Seen:
    latency_s: float = _UNKNOWN_LATENCY_S
    penalty_s: float = 0.0
    in_flight: int = 0
    answers: int = 0


class Scores:
    """Scores by node public key."""

    def __init__(self) -> None:
        self._seen: dict[bytes, _Seen] = {}

    def started(self, peer: bytes) -> None:
        self._of(peer).in_flight += 1

    def ended(self, peer: bytes) -> None:
        self._of(peer).in_flight -= 1

    def succeeded(self, peer: bytes, latency_s: float) -> None:
        seen = self._of(peer)
        seen.latency_s += (_SMOOTHING if seen.answers else 1.0) * (latency_s - seen.latency_s)
        seen.answers += 1
        seen.penalty_s /= 2

    def failed(self, peer: bytes, *, wrong: bool = False) -> None:
        """It did not answer; `wrong` when it answered with bytes that fail their check."""
        seen = self._of(peer)
        seen.penalty_s += _FAILURE_PENALTY_S * (4 if wrong else 1)

    def best_first(self, peers: Iterable[bytes]) -> list[bytes]:
        """Peers in the order to ask them: fast, idle and reliable ones first."""
        return sorted(dict.fromkeys(peers), key=lambda peer: (self._cost_s(peer), peer))

    def hedge_after_s(self, peer: bytes) -> float:
        """How long to wait for `peer` before asking the next one as well."""
        return min(_HEDGE_MAX_S, max(_HEDGE_MIN_S, _HEDGE_FACTOR * self._of(peer).latency_s))

    def latency_s(self, peer: bytes) -> float | None:
        """Seconds it lately took to answer; None when it never did."""
        seen = self._seen.get(peer)
        return None if seen is None or not seen.answers else seen.latency_s

    def _cost_s(self, peer: bytes) -> float:
        seen = self._of(peer)
        return seen.latency_s * (1 + seen.in_flight) + seen.penalty_s

    def _of(self, peer: bytes) -> _Seen:
        return self._seen.setdefault(peer, _Seen())
