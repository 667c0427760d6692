"""What a put reaches, and what it must reach: levels, and the requirement a caller may set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from inos.core.errors import BadInput, NotEnoughNodes
from inos.core.ids import Cid
from inos.objects.reference import Reference
from inos.replication.placement import Placement

# On this disk; on enough members that half of the losses the plan survives are survived; all that the plan promises.
LOCAL: Final = "local"
QUORUM: Final = "quorum"
REPLICATED: Final = "replicated"
# Of a number of nodes: far above any mesh, far below what costs time to read.
_DIGITS: Final = 9


@dataclass(frozen=True, slots=True)
class Stored:
    """What a put reached. `survives` counts nodes that may be lost now, `wanted` what the plan promises in the end.
    `sha256` is that of the whole content."""

    reference: Reference
    size: int
    stored_bytes: int
    placement: Placement
    survives: int
    wanted: int
    level: str
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a put must reach or fail: "" (anything), a level, or a number of nodes that hold the whole redundancy."""

    text: str = ""

    def __post_init__(self) -> None:
        number = self.text if self.text.isdecimal() and len(self.text) <= _DIGITS else "0"
        if self.text not in ("", LOCAL, QUORUM, REPLICATED) and int(number) == 0:
            raise BadInput(
                f"cannot require {self.text[:80]!r}",
                hint="use local, quorum, replicated, or a number of nodes such as 3",
            )

    def check_possible(self, alive: int) -> None:
        """Refuse before reading gigabytes what cannot work."""
        needed = int(self.text) if self.text.isdecimal() else 2 if self.text in (QUORUM, REPLICATED) else 1
        if alive < needed:
            raise NotEnoughNodes(
                f"{self.text or needed} was required and {alive} node{'s' * (alive != 1)} can be reached",
                hint="start more nodes, or put with a lower --require; 'inos peers' shows who is there",
            )

    def is_met(self, level: str, holding: int) -> bool:
        """Whether `level`, with `holding` nodes that have all of their pieces, is what was asked for."""
        order = (LOCAL, QUORUM, REPLICATED)
        if self.text.isdecimal():
            return holding >= int(self.text)
        return not self.text or order.index(level) >= order.index(self.text)

    def check_reached(self, cid: Cid, level: str, holding: int) -> None:
        """Raises NotEnoughNodes unless it is met; what was stored of `cid` stays then."""
        if not self.is_met(level, holding):
            raise NotEnoughNodes(
                f"{self.text} was required; {holding} nodes hold the object, which reaches {level}",
                hint="start more nodes, or lower --require, and put again: it goes on from what is stored; "
                f"or remove that, which has no name: inos rm {cid}",
            )
