"""What happened in a run, as one hash and the last few lines: two runs with the same hash did the same.

Every frame that arrives and every action goes in, with its virtual time. The hash is over text that means the same in
every process: no object addresses, no hash order, no wall clock.
"""

from __future__ import annotations

from collections import deque
from struct import Struct
from typing import Final

import trio

from inos.crypto.hashing import ContentHasher
from inos.sim.frames import Frame

KEPT_LINES: Final = 200
# Hashed together: a call for each frame costs more than its bytes.
_PARTS_AT_ONCE: Final = 3000
_LONG_BYTES: Final = 4096
_MOMENT: Final = Struct("<dQ")


class Trace:
    """A running hash of events and the latest of them. `keep` lines are kept for whoever looks into a failure."""

    def __init__(self, keep: int = KEPT_LINES) -> None:
        self._hasher = ContentHasher()
        self._parts: list[bytes] = []
        self._heads: dict[tuple[str, ...], bytes] = {}
        self._lines: deque[str] = deque(maxlen=keep)
        self.events = 0

    def note(self, text: str) -> None:
        """One event, now."""
        line = f"{trio.current_time():.6f} {text}"
        self._parts.append(line.encode())
        self._lines.append(line)
        self.events += 1

    def frame(self, at_s: float, frame: Frame, payload: bytes, body_bytes: int) -> None:
        """One frame that arrives. Hashed, not kept: there are hundreds a second."""
        where = (frame.kind._value_, frame.source, frame.target, frame.name)
        head = self._heads.get(where)
        if head is None:
            head = self._heads[where] = "".join(where).encode()
        self._parts += (_MOMENT.pack(at_s, body_bytes), head, payload)
        self.events += 1
        if len(self._parts) >= _PARTS_AT_ONCE or len(payload) > _LONG_BYTES:
            self._hash()

    def _hash(self) -> None:
        self._hasher.update(b"".join(self._parts))
        self._parts.clear()

    def digest(self) -> str:
        """Hex of the hash of everything noted so far."""
        self._hash()
        return self._hasher.digest().hex()

    def latest(self) -> list[str]:
        """The last lines, oldest first."""
        return list(self._lines)
