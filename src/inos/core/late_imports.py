"""Puts off importing modules of others that are imported on every start and used on few.

A package often imports all of its parts in its `__init__`, where one part is wanted; or a module is imported at the top
that only a rare call uses. `put_off` registers such a module without running it. It runs, whole and once, when
something first asks for a name that it does not have yet; what imports a submodule, or the module itself to use it
later, does not ask. So nothing behaves otherwise, only later: an error of the module's own comes at that use.

`uncollected` is for importing much that is needed.
"""

from __future__ import annotations

import gc
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# One for all: what runs a module late may ask for another one that was put off.
_running = threading.RLock()
_before: dict[str, Callable[[], None]] = {}


class _Late(ModuleType):
    """A module that has not run. A class of its own only until then."""

    def __getattr__(self, name: str) -> Any:
        if name == "__path__":  # asked by each `from … import`; a package has it without running
            raise AttributeError(name)
        with _running:
            if type(self) is _Late:
                _run(self)
        # Another thread may have run it meanwhile. While it runs, in this thread, what it has not made is not there.
        try:
            return self.__dict__[name]
        except KeyError:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}") from None


class _Running(_Late):
    """A module that runs just now."""


def _run(module: ModuleType) -> None:
    spec = module.__spec__
    assert spec is not None and spec.loader is not None
    module.__class__ = _Running
    try:
        _before.get(spec.name, _nothing)()
        spec.loader.exec_module(module)
    except BaseException:
        module.__class__ = _Late
        raise
    module.__class__ = ModuleType


def _nothing() -> None:
    """What most modules need done before they run."""


def put_off(names: Iterable[str], *, before: Callable[[], None] = _nothing) -> None:
    """Import each of `names`, parents before what is in them, when it is first used, after a call of `before`. One that
    is imported already stays as it is. Raises ModuleNotFoundError."""
    for name in names:
        if name in sys.modules:
            continue
        spec = importlib.util.find_spec(name)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        register(spec, _Late)
        _before[name] = before


def put_off_classes(name: str, *classes: str) -> None:
    """Like `put_off`, for a module that others import these classes from at their top: they get stand-ins, fit for
    annotations, that run the module when one is called or asked for anything. Not for a class that somebody inherits
    from or tests for."""
    put_off([name])
    module = sys.modules[name]
    if type(module) is _Late:
        for each in classes:
            module.__dict__.setdefault(each, _LateClass(each, (), {"__module__": name}))


class _LateClass(type):
    """Stands for a class of a module that has not run."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return _real(cls)(*args, **kwargs)

    def __getattr__(cls, name: str) -> Any:
        return getattr(_real(cls), name)


def _real(stand_in: type) -> Any:
    module = sys.modules[stand_in.__module__]
    with _running:
        if type(module) is _Late:
            _run(module)  # which puts the real one in the place of this
    return getattr(module, stand_in.__name__)


def register(spec: ModuleSpec, kind: type[ModuleType]) -> ModuleType:
    """Make the module of `spec` known, as a `kind`, without running it."""
    module = importlib.util.module_from_spec(spec)
    module.__class__ = kind
    sys.modules[spec.name] = module
    parent, _, child = spec.name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
    return module


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the garbage collector, which walks what is being imported again and again and finds nothing: a tenth of
    the start of a node. What was made stays for good, and is left out of later walks."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
