"""What the users of a simulated mesh were promised: one entry for each put, followed from the put to the removal.

Nothing here asks a node; it is filled by the actions from what they were answered, and read by the invariants. An
object is *owed* while its put was acknowledged and nobody has tried to remove or replace it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from inos.core.ids import Cid
from inos.core.reports import PutReport
from inos.vault.outcome import LOCAL


class Fate(Enum):
    """Where a put stands, as its user knows."""

    PENDING = "not answered yet"
    UNSURE = "failed or interrupted: it may or may not be there"
    OWED = "acknowledged"
    LEAVING = "being removed or replaced: it may or may not be there"
    REMOVED = "removal acknowledged"


@dataclass(slots=True, eq=False)
class Promise:
    """One object. `lost` are the machines that were away, cut off, damaged or emptied since it was last seen to have
    all of its redundancy: while these are no more than `survives`, it must be readable."""

    label: str
    name: str
    size_bytes: int
    node: str
    fate: Fate = Fate.PENDING
    report: PutReport | None = None
    acked_s: float = 0.0
    removed_s: float = 0.0
    lost: dict[int, None] = field(default_factory=dict)
    content: str = ""
    """The label whose content this is, where it is not its own."""

    def acknowledged(self, report: PutReport, now_s: float) -> None:
        self.fate, self.report, self.acked_s = Fate.OWED, report, now_s

    @property
    def content_label(self) -> str:
        """What its content is made of; the same for the same content."""
        return self.content or self.label

    @property
    def owed(self) -> bool:
        return self.fate is Fate.OWED

    @property
    def cid(self) -> Cid:
        """Only once it was acknowledged."""
        return Cid.parse(self._answered.cid)

    @property
    def ref(self) -> str:
        """Only once it was acknowledged."""
        return self._answered.ref

    @property
    def survives(self) -> int:
        """Losses that the acknowledgement said it survives."""
        return self._answered.survives

    @property
    def wanted(self) -> int:
        """Losses it is to survive once repair has completed it."""
        return self._answered.wanted_survives

    @property
    def is_local(self) -> bool:
        """Whether it was acknowledged as being on the disk of its machine only."""
        return self._answered.level == LOCAL

    @property
    def within_its_losses(self) -> bool:
        """Whether no more was lost since its redundancy was full than it was said to survive."""
        return len(self.lost) <= self.survives

    @property
    def _answered(self) -> PutReport:
        assert self.report is not None, f"the put of {self.label} was not acknowledged"
        return self.report


class Promises:
    """All puts of a run by label, in order."""

    def __init__(self) -> None:
        self._all: dict[str, Promise] = {}

    def begin(self, promise: Promise) -> None:
        """A put that starts now; its label must be new."""
        assert promise.label not in self._all, f"{promise.label} was put already"
        self._all[promise.label] = promise

    def get(self, label: str) -> Promise | None:
        return self._all.get(label)

    def __iter__(self) -> Iterator[Promise]:
        return iter(self._all.values())

    def owed(self) -> list[Promise]:
        return [promise for promise in self if promise.owed]

    def with_fate(self, fate: Fate) -> list[Promise]:
        return [promise for promise in self if promise.fate is fate]

    def named(self, name: str) -> list[Promise]:
        """Every put under `name`, in order."""
        return [promise for promise in self if promise.name == name]

    def keep(self, removed: Promise) -> bool:
        """Whether the object of a removed promise has, or may have, another name."""
        return any(other.content_label == removed.content_label and other.fate is not Fate.REMOVED for other in self)

    def lose(self, number: int) -> None:
        """Machine `number` is away, cut off, damaged or emptied from now on."""
        for promise in self._all.values():
            if promise.fate in (Fate.OWED, Fate.LEAVING):
                promise.lost[number] = None
