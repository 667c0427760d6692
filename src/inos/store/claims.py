"""Who may change which chunk right now: a set of addresses a thread holds while others that want them wait.

A file and its row change in two steps, and between them no one else may take either: a removal that unlinks what a
put has just written would lose an acknowledged chunk. Whole sets are claimed at once, so claims cannot deadlock;
unrelated chunks never wait for each other.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from inos.core.ids import Address


class Claims:
    """Addresses claimed by running calls. A claim must not be nested in another of the same thread."""

    def __init__(self) -> None:
        self._held: set[Address] = set()
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, addresses: Iterable[Address]) -> Iterator[None]:
        """Wait until nobody holds any of `addresses`, then hold them all."""
        wanted = frozenset(addresses)
        with self._changed:
            self._changed.wait_for(lambda: self._held.isdisjoint(wanted))
            self._held |= wanted
        try:
            yield
        finally:
            with self._changed:
                self._held -= wanted
                self._changed.notify_all()
