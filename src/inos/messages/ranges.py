"""Which seqs of which series of segments a corpus has taken in: sets of whole numbers as few ranges. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

from inos.core.errors import BadInput

MAX_RANGES: Final = 10_000


class Ranges:
    """Whole numbers from 1 on, as inclusive ranges that neither overlap nor touch."""

    def __init__(self, ranges: list[tuple[int, int]] | None = None) -> None:
        self._ranges = ranges or []

    def add(self, first: int, last: int) -> None:
        """Put first..last in."""
        before = [each for each in self._ranges if each[1] < first - 1]
        after = [each for each in self._ranges if each[0] > last + 1]
        touched = self._ranges[len(before) : len(self._ranges) - len(after)]
        joined = (min([first, *(each[0] for each in touched)]), max([last, *(each[1] for each in touched)]))
        self._ranges = [*before, joined, *after]

    def has(self, first: int, last: int) -> bool:
        """Whether all of first..last is in."""
        return any(low <= first and last <= high for low, high in self._ranges)

    def to_json(self) -> list[list[int]]:
        """`[[first, last], …]`."""
        return [[low, high] for low, high in self._ranges]

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Raises BadInput."""
        ranges = cls()
        if not isinstance(value, list) or len(value) > MAX_RANGES:
            raise BadInput("not a list of ranges")
        for each in value:
            if not isinstance(each, list) or len(each) != 2 or not all(isinstance(one, int) for one in each):
                raise BadInput("a range is two whole numbers")
            ranges.add(each[0], each[1])
        return ranges


class TakenIn:
    """The ranges by series."""

    def __init__(self, series: Mapping[str, Ranges] | None = None) -> None:
        self._series = dict(series or {})

    def of(self, series: str) -> Ranges:
        """What is there of one series."""
        return self._series.setdefault(series, Ranges())

    def forget_marks(self) -> None:
        """All segments of marks are to be taken in again, which changes nothing where they are in."""
        self._series = {name: ranges for name, ranges in self._series.items() if not name.endswith("/marks")}

    def to_json(self) -> dict[str, Any]:
        """`{series: ranges}`."""
        return {name: ranges.to_json() for name, ranges in sorted(self._series.items())}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Raises BadInput."""
        if not isinstance(value, Mapping):
            raise BadInput("not ranges by series")
        return cls({str(name): Ranges.from_json(ranges) for name, ranges in value.items()})
