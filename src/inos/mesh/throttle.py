"""A token bucket: so many a second on average, so many at once after a pause. Pure; the caller brings the time."""

from __future__ import annotations


class Throttle:
    """Allows `burst` at once and `rate_per_s` for ever."""

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at_s: float | None = None

    def take(self, now_s: float) -> bool:
        """Whether one more is allowed at `now_s` (monotonic); counts it when it is."""
        passed_s = 0.0 if self._at_s is None else max(0.0, now_s - self._at_s)
        self._at_s = now_s
        self._tokens = min(self._burst, self._tokens + passed_s * self._rate_per_s)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
