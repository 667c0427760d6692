"""The life of a component as a value: which status follows which, when to start again, and when to give up.

Plain functions; who runs processes (`keeper.py`) asks them and does what they say. Times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from inos.components.manifest import Restart
from inos.core.rows.software import Status

# One second is soon for a person; a minute of pause is no load whatever a start costs.
FIRST_DELAY_S: Final = 1.0
MAX_DELAY_S: Final = 60.0
# A first heartbeat may have to wait for an interpreter and its imports on a busy machine.
FIRST_HEARTBEAT_S: Final = 30.0
# So many intervals without a heartbeat mean that it hangs.
MISSED: Final = 3

FOLLOWING: Final[Mapping[Status, frozenset[Status]]] = {
    "stopped": frozenset(("starting",)),
    "starting": frozenset(("running", "stopping", "stopped", "crashed")),
    "running": frozenset(("stopping", "stopped", "crashed")),
    "stopping": frozenset(("stopped",)),
    "crashed": frozenset(("starting", "stopped")),
}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended: its exit code, negative for the signal that killed it, or why it never ran or was killed."""

    code: int | None = None
    reason: str = ""

    @property
    def well(self) -> bool:
        """Whether it ended by itself and said that all is well."""
        return self.code == 0 and not self.reason

    def __str__(self) -> str:
        if self.reason:
            return self.reason
        return f"killed by signal {-self.code}" if self.code is not None and self.code < 0 else f"exit code {self.code}"


@dataclass(frozen=True, slots=True)
class Life:
    """Where a component stands. `crashes_s` are its ends within the window that counts; `delay_s` is how long to wait
    before it is started again, None where it is not."""

    status: Status = "stopped"
    crashes_s: tuple[float, ...] = ()
    restarts: int = 0
    error: str = ""
    delay_s: float | None = None

    def to(self, status: Status, error: str = "") -> Life:
        """The next status; an assertion fails for one that cannot follow."""
        assert status in FOLLOWING[self.status], f"{self.status} is not followed by {status}"
        return replace(self, status=status, error=error, delay_s=None)


def asked_to_start(life: Life) -> Life:
    """Somebody wants it now: what went wrong before is forgotten."""
    return replace(life, crashes_s=(), delay_s=None)


def starting(life: Life, *, again: bool) -> Life:
    """It is being started; `again` where nobody asked for it. What went wrong last stays to be seen until it runs."""
    return replace(life.to("starting", life.error), restarts=life.restarts + (1 if again else 0))


def ended(life: Life, how: Ended, rule: Restart, now_s: float) -> Life:
    """Its process is gone: because it was asked to, or not; then by `rule` it is started again, or is no more."""
    if life.status == "stopping":
        return life.to("stopped")
    if how.well and rule.policy != "always":
        return life.to("stopped")
    crashes = (*(at for at in life.crashes_s if now_s - at < rule.within_s), now_s)
    after = replace(life.to("stopped" if how.well else "crashed", "" if how.well else str(how)), crashes_s=crashes)
    if rule.policy == "never":
        return after
    if len(crashes) >= rule.crashes:
        error = f"gave up after {len(crashes)} ends within {rule.within_s:g} s; the last: {how}"
        return replace(after, error=error)
    return replace(after, delay_s=min(MAX_DELAY_S, FIRST_DELAY_S * 2 ** (len(crashes) - 1)))


def silent_for_s(heartbeat_s: float, *, first: bool) -> float:
    """How long a component that gives heartbeats may say nothing."""
    return max(MISSED * heartbeat_s, FIRST_HEARTBEAT_S) if first else MISSED * heartbeat_s
