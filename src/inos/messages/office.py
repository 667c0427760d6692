"""Who is to be the hub: the decisions, as plain functions of what a node sees.

A node that the record names serves. Another one takes over only when it is meant to (`--hub`, `--hub standby`), the hub
has been silent for a while, and it can ask a majority of the mesh: on the small side of a partition nobody takes over.
Each waits longer than the one before it in the owner's order of nodes, so that mostly one does; when two do, the record
that holds decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from inos.core.errors import Conflict
from inos.messages.hub_record import HubRecord

Wish = Literal["none", "hub", "standby"]
Step = Literal["serve", "take", "stay"]

# A hub that restarts is back within this; liveness has called it failed after 5 s.
TAKE_OVER_AFTER_S: Final = 15.0
# Longer than a record takes to reach everybody.
TURN_S: Final = 5.0
MAX_TURNS: Final = 12
# Until then the record may still be on its way to a node that has just started.
FIRST_AFTER_S: Final = 3.0
# What the name of a segment has room for.
MAX_TERM: Final = 99_999_999


@dataclass(frozen=True, slots=True)
class Seen:
    """What a node sees. `record` names the hub, None when there never was one; `silent_s` is for how long that has not
    answered, `running_s` for how long this node has been up; `turn` its place among the owner's nodes; `majority`
    whether it reaches enough of the mesh to know what others know."""

    me: bytes
    wish: Wish
    record: HubRecord | None
    silent_s: float
    running_s: float
    turn: int
    majority: bool


def decide(seen: Seen) -> Step:
    """What to do now."""
    if seen.record is not None and seen.record.node == seen.me:
        return "serve"
    if seen.wish == "none" or not seen.majority:
        return "stay"
    patience_s = TURN_S * min(seen.turn, MAX_TURNS)
    if seen.record is None:
        return "take" if seen.wish == "hub" and seen.running_s >= FIRST_AFTER_S + patience_s else "stay"
    return "take" if seen.silent_s >= TAKE_OVER_AFTER_S + patience_s else "stay"


def knows_enough(replicas: int, alive: int) -> bool:
    """Whether a node that reaches `alive` of the `replicas` of a record, itself included, may act on what it knows. Of
    two, each has everything that was ever acknowledged by both."""
    return replicas <= 2 or alive * 2 > replicas


def following(record: HubRecord | None, me: bytes, now_ms: int, *, after: int = 0) -> HubRecord:
    """The record of this node taking over, in a term later than the last and than `after`. Raises Conflict when terms
    have run out."""
    term = max(after, record.term if record is not None else 0) + 1
    if term > MAX_TERM:
        hint = "names of segments have room for no later one: inos ls /.inos/messages/"
        raise Conflict(f"no hub follows that of term {term - 1:,}", hint=hint)
    return HubRecord(me, term, max(0, now_ms))
