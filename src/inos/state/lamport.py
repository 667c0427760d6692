"""Logical time: what orders the versions of a key without trusting anybody's wall clock.

Rules:
- A change is stamped later than everything its author has seen, and later than the version it replaces (`after`).
- One record moves the clock by at most MAX_JUMP, so that no member can end logical time by a single signature; a key
  whose lamport was pushed up is still changed by stamping after that version, and removed at the very same lamport.
- Removing beats repairing. Logical time is cut into generations of 65,536. What an owner decides (create, remove,
  create again) opens a generation; what is derived from a version it read (a repair replacing members) stays in
  that version's generation. So a node that was cut off and went on repairing what was removed meanwhile has lost,
  however far its clock ran.

State is lost at a restart without harm, because of `after`.
"""

from __future__ import annotations

from threading import Lock
from typing import Final

from inos.core.errors import Conflict

# 48 of 64 bits: a writer of 10,000 records a second needs 890 years.
LAMPORT_LIMIT: Final = 1 << 48
GENERATION: Final = 1 << 16
# A newcomer reaches any honest mesh's time within a few thousand records; a liar needs sixteen million to end it.
MAX_JUMP: Final = 1 << 24


class LamportClock:
    """One node's logical time. Safe from several threads."""

    def __init__(self, start: int = 0) -> None:
        self._now = start
        self._lock = Lock()

    @property
    def now(self) -> int:
        """The latest time given out or observed."""
        return self._now

    def tick(self, after: int = 0) -> int:
        """A new time, later than all before and than `after`, the lamport of the version to be replaced."""
        with self._lock:
            return self._advance(max(self._now, after) + 1)

    def open_generation(self, after: int = 0) -> int:
        """A new time that also beats every change still to be derived from anything seen so far."""
        with self._lock:
            return self._advance((max(self._now, after) // GENERATION + 1) * GENERATION)

    def observe(self, lamport: int) -> None:
        """Catch up with a time seen in a record or a message."""
        with self._lock:
            self._now = max(self._now, min(lamport, self._now + MAX_JUMP, LAMPORT_LIMIT - 1))

    def _advance(self, to: int) -> int:
        if to >= LAMPORT_LIMIT:
            raise Conflict("logical time has run out", hint="a member has signed absurd records: revoke it")
        # A version from far ahead is beaten, but does not drag this node's whole time with it.
        self._now = max(self._now, min(to, self._now + MAX_JUMP))
        return to


def derived(lamport: int) -> int:
    """The time of a change derived from the version of that lamport. Conflict when its generation is used up."""
    following = lamport + 1
    if following % GENERATION == 0:
        raise Conflict("this record was changed 65,535 times since its owner wrote it", hint="its owner must write it")
    return following
