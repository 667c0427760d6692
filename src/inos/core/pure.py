"""Functions whose answer follows from their arguments alone, and costs enough to be worth remembering.

A node asks most such questions once, so it remembers nothing. A simulation puts the same question to each of its
dozens of nodes in one process: inside `remembered()` every function marked `pure` keeps its latest answers. An error
is no answer; it is found anew each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, update_wrapper
from typing import Any, Final, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# Of each function: a storm of an hour over 20 nodes has some thousands of records.
_KEPT: Final = 8192


class Pure(Generic[P, T]):
    """A pure function. Its arguments are hashable, and nobody changes what it returns."""

    def __init__(self, function: Callable[P, T]) -> None:
        self._function = function
        self._answer: Callable[P, T] = function
        update_wrapper(self, function)
        _ALL.append(self)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._answer(*args, **kwargs)

    def remember(self) -> None:
        """Keep answers from now on."""
        self._answer = lru_cache(_KEPT)(self._function)

    def forget(self) -> None:
        """Keep none any more."""
        self._answer = self._function


_ALL: Final[list[Pure[..., Any]]] = []


def pure(function: Callable[P, T]) -> Pure[P, T]:
    """Mark `function` as pure."""
    return Pure(function)


@contextmanager
def remembered() -> Iterator[None]:
    """Inside, answers of pure functions are kept."""
    for function in _ALL:
        function.remember()
    try:
        yield
    finally:
        for function in _ALL:
            function.forget()
