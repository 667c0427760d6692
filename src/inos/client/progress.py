"""How a transfer tells how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Something that watches a transfer. Sizes are bytes; called often, from the event loop: be quick."""

    def total(self, size: int | None) -> None:
        """The transfer will be `size` long; None when nobody knows."""

    def advance(self, size: int) -> None:
        """`size` more have gone over."""


class Part:
    """Progress of one file within a transfer of many, whose total is known already."""

    def __init__(self, whole: Progress) -> None:
        self._whole = whole

    def total(self, size: int | None) -> None:
        pass

    def advance(self, size: int) -> None:
        self._whole.advance(size)


class Unwatched:
    """Progress nobody looks at."""

    def total(self, size: int | None) -> None:
        pass

    def advance(self, size: int) -> None:
        pass
