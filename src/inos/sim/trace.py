"""What happened in a run, as one hash and the last few lines: two runs with the same hash did the same.

Every frame that arrives and every action goes in, with its virtual time. The hash is over text that means the same in
every process: no object addresses, no hash order, no wall clock.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import trio

from inos.crypto.hashing import ContentHasher
from inos.sim.frames import Frame

KEPT_LINES: Final = 200


class Trace:
    """A running hash of events and the latest of them. `keep` lines are kept for whoever looks into a failure."""

    def __init__(self, keep: int = KEPT_LINES) -> None:
        self._hasher = ContentHasher()
        self._lines: deque[str] = deque(maxlen=keep)
        self.events = 0

    def note(self, text: str) -> None:
        """One event, now."""
        line = f"{trio.current_time():.6f} {text}"
        self._hasher.update(line.encode())
        self._lines.append(line)
        self.events += 1

    def frame(self, at_s: float, frame: Frame, payload: bytes, body_bytes: int) -> None:
        """One frame that arrives. Hashed, not kept: there are hundreds a second."""
        head = f"{at_s!r}{frame.kind._value_}{frame.source}{frame.target}{frame.name}{body_bytes}"
        self._hasher.update(head.encode() + payload)
        self.events += 1

    def digest(self) -> str:
        """Hex of the hash of everything noted so far."""
        return self._hasher.digest().hex()

    def latest(self) -> list[str]:
        """The last lines, oldest first."""
        return list(self._lines)
