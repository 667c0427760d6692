"""What a hub remembers of its segments across restarts, beside its corpus: how far it has put its own, and which it has
taken in. All of it can be found out again from the segments; without it, that is done again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Final, Protocol

from inos.core.env import Env
from inos.core.errors import BadInput
from inos.messages.ranges import TakenIn
from inos.messages.segments import SegmentName

MAX_MEMORY_BYTES: Final = 4 << 20
# Set while this node may have messages that no other hub has: from taking the role until it was handed on.
OWED: Final = "messages/owed"


class Settings(Protocol):
    """Bytes by name, synced when put. Calls block."""

    def get(self, key: str) -> bytes | None: ...

    def put(self, values: dict[str, bytes]) -> None: ...


@dataclass(slots=True)
class Covered:
    """Up to `seq` and `mark_seq` a corpus is in segments that outlive it. `restoring`: it was begun from those of
    others, and has not all of them yet. `handed_on`: another hub has everything. `whole_term`: the term in which this
    corpus had all that the mesh kept, 0 for none. `restored`: up to here, of messages and of marks, everything came out
    of segments and is covered once it is certain that these are safe; (0, 0): nothing is left to be certain of.
    `passed`: segments that it went on without and has not got yet."""

    seq: int = 0
    mark_seq: int = 0
    restoring: bool = False
    handed_on: bool = False
    whole_term: int = 0
    restored: tuple[int, int] = (0, 0)
    passed: set[SegmentName] = field(default_factory=set)
    taken: TakenIn = field(default_factory=TakenIn)

    def encode(self) -> bytes:
        """As JSON."""
        return json.dumps(
            {
                "v": 1, "seq": self.seq, "mark_seq": self.mark_seq, "restoring": self.restoring,
                "handed_on": self.handed_on, "whole_term": self.whole_term, "restored": self.restored,
                "passed": sorted(map(str, self.passed)), "taken": self.taken.to_json(),
            }
        ).encode()  # fmt: skip


def decode_covered(encoded: bytes) -> Covered:
    """Raises BadInput for what `encode` did not make."""
    if len(encoded) > MAX_MEMORY_BYTES:
        raise BadInput("too long for what a hub remembers")
    try:
        value = json.loads(encoded)
        seq, mark_seq, whole_term = value["seq"], value["mark_seq"], value.get("whole_term", 0)
        restoring, handed_on = value["restoring"], value["handed_on"]
        restored, restored_marks = value.get("restored", (0, 0))
        passed, taken = value.get("passed", []), value["taken"]
    except (ValueError, LookupError, TypeError, RecursionError, AttributeError):
        raise BadInput("not what a hub remembers") from None
    numbers = seq, mark_seq, restoring, handed_on, whole_term, restored, restored_marks
    if value.get("v") != 1 or not all(isinstance(one, int) and one >= 0 for one in numbers):
        raise BadInput("not what a hub remembers")
    return Covered(
        seq, mark_seq, bool(restoring), bool(handed_on), whole_term, (restored, restored_marks), _names(passed),
        TakenIn.from_json(taken),
    )  # fmt: skip


def _names(passed: object) -> set[SegmentName]:
    if not isinstance(passed, list) or not all(isinstance(each, str) for each in passed):
        raise BadInput("not names of segments")
    return set(map(SegmentName.parse, passed))


def memory_key(identity: str) -> str:
    """Where the memory of a corpus is among the settings."""
    return f"messages/hub/{identity}"


class HubMemory:
    """The memory of one corpus, by its identity."""

    def __init__(self, settings: Settings, identity: str, env: Env) -> None:
        self._settings = settings
        self._key = memory_key(identity)
        self._env = env
        self.covered = Covered()

    async def load(self, *, fresh: bool) -> None:
        """Remember; a `fresh` corpus, with nothing in it, is to be restored first."""
        encoded = await self._env.in_thread(self._settings.get, self._key)
        if encoded is None:
            self.covered = Covered(restoring=fresh)
            return
        try:
            self.covered = decode_covered(encoded)
        except BadInput:
            self.covered = Covered()

    async def save(self) -> None:
        """Synced when it returns."""
        await self._env.in_thread(self._settings.put, {self._key: self.covered.encode()})
