"""The gate: how much somebody who has not proven membership may ask of us. Pure bookkeeping, no I/O.

Strangers share a small, separate budget, so that they can never use up what members need: a number of connections (per
address and in all; at the limit the oldest goes, so silent sockets cannot shut a newcomer out), a short life each,
small frames, and a rate of calls per peer and per address. Every refusal is counted by its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final

from inos.core.errors import Busy

# Rates are kept for this many peers and addresses; the least recently seen is forgotten first.
MAX_RATES: Final = 4096


@dataclass(frozen=True, slots=True)
class GateLimits:
    """What strangers get. The defaults serve a few dozen joins at once behind one NAT and cost under 10 MB."""

    connections_per_ip: int = 64
    connections: int = 256
    lifetime_s: float = 10.0
    frame_bytes: int = 64 * 1024
    calls_per_s_per_peer: float = 2.0
    calls_per_s_per_ip: float = 20.0
    # How many calls may come at once after a pause: hello, confirmation, join, and a few retries.
    burst_per_peer: int = 10
    burst_per_ip: int = 100


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float

    def take(self, now_s: float, rate: float, burst: int) -> bool:
        self.tokens = min(float(burst), self.tokens + (now_s - self.at_s) * rate)
        self.at_s = now_s
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass(eq=False, slots=True)
class Visit:
    """One connection that is not proven yet. `evict` ends it."""

    ip: str
    evict: Callable[[], None]


@dataclass(slots=True)
class Gate:
    """The strangers of one node."""

    limits: GateLimits
    monotonic_s: Callable[[], float]
    refused: Counter[str] = field(default_factory=Counter)
    _visits: dict[Visit, None] = field(default_factory=dict)
    _per_ip: Counter[str] = field(default_factory=Counter)
    _buckets: dict[Hashable, _Bucket] = field(default_factory=dict)

    def enter(self, ip: str, evict: Callable[[], None]) -> Visit:
        """Count a new connection, ending the oldest of its address (or of all) when there are too many."""
        if self._per_ip[ip] >= self.limits.connections_per_ip:
            self._evict_oldest("connections_per_ip", ip)
        elif len(self._visits) >= self.limits.connections:
            self._evict_oldest("connections", None)
        visit = Visit(ip, evict)
        self._visits[visit] = None
        self._per_ip[ip] += 1
        return visit

    def leave(self, visit: Visit) -> None:
        """The connection has closed, or has been proven. May be repeated."""
        if visit not in self._visits:
            return
        del self._visits[visit]
        self._per_ip[visit.ip] -= 1
        if not self._per_ip[visit.ip]:
            del self._per_ip[visit.ip]

    def charge(self, peer: str, ip: str) -> None:
        """Count one call of a stranger. Raises Busy over the rate."""
        limits, now_s = self.limits, self.monotonic_s()
        fair = self._take(("ip", ip), now_s, limits.calls_per_s_per_ip, limits.burst_per_ip)
        if not (fair and self._take(("peer", peer), now_s, limits.calls_per_s_per_peer, limits.burst_per_peer)):
            self.refused["rate"] += 1
            raise Busy("too many calls from a peer that is not a member", hint="wait a few seconds")

    def _take(self, key: Hashable, now_s: float, rate: float, burst: int) -> bool:
        bucket = self._buckets.pop(key, None) or _Bucket(float(burst), now_s)
        if len(self._buckets) >= MAX_RATES:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[key] = bucket  # last in the dict: most recently seen
        return bucket.take(now_s, rate, burst)

    def _evict_oldest(self, reason: str, ip: str | None) -> None:
        self.refused[reason] += 1
        oldest = next(visit for visit in self._visits if ip is None or visit.ip == ip)
        self.leave(oldest)
        oldest.evict()
