"""The names a Python user may rely on are written down in docs/api-names.txt; a change of them shows in a review.

`python tests/test_public_names.py` writes the file anew.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

LIST = Path(__file__).resolve().parent.parent / "docs" / "api-names.txt"
MODULES = ("inos", "inos.client")


def exported(module: ModuleType) -> list[str]:
    """What `module` offers: its `__all__`, which it must have, so that nothing becomes public by being imported."""
    names: list[str] = module.__all__
    return names


def public_names() -> Iterator[str]:
    """Each exported name, and the public attributes of each exported class of ours."""
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in exported(module):
            thing = getattr(module, name)
            yield f"{module_name}.{name}"
            if inspect.isclass(thing) and thing.__module__.startswith("inos") and not issubclass(thing, Exception):
                yield from (f"{module_name}.{name}.{attribute}" for attribute in _attributes(thing))


def _attributes(thing: type) -> list[str]:
    ours = [base for base in thing.__mro__ if base.__module__.startswith("inos")]
    names = {name for base in ours for name in [*vars(base), *vars(base).get("__annotations__", {})]}
    return sorted(name for name in names if not name.startswith("_"))


def text() -> str:
    return "\n".join(sorted(public_names())) + "\n"


def test_public_names_are_those_written_down() -> None:
    assert text() == LIST.read_text(), "run: .venv/bin/python tests/test_public_names.py, and review the difference"


@pytest.mark.parametrize("module", MODULES)
def test_what_is_exported_exists_and_is_meant(module: str) -> None:
    found = importlib.import_module(module)
    names = exported(found)
    assert len(names) == len(set(names))
    assert not [name for name in names if not hasattr(found, name)]
    assert not [name for name in names if name.startswith("_") and name != "__version__"]


if __name__ == "__main__":
    LIST.write_text(text())
