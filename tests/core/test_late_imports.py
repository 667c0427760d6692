"""Modules that are imported when they are used: not before, whole, once, and with their own errors."""

from __future__ import annotations

import gc
import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from inos.core.late_imports import put_off, put_off_classes, uncollected

Write = Callable[..., None]
RUNS = "import builtins\nbuiltins.late_runs = getattr(builtins, 'late_runs', 0) + 1\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes the files of a package `latepack` that can be imported."""
    import builtins

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(builtins, "late_runs", 0, raising=False)
    folder = tmp_path / "latepack"
    folder.mkdir()

    def write(**sources: str) -> None:
        for name, source in sources.items():
            (folder / f"{name}.py").write_text(source)
        importlib.invalidate_caches()

    yield write
    for name in [name for name in sys.modules if name.split(".")[0] == "latepack"]:
        del sys.modules[name]


def _runs() -> int:
    import builtins

    runs: int = builtins.late_runs  # type: ignore[attr-defined]
    return runs


def test_it_runs_when_a_name_is_asked_for_and_once(package: Write) -> None:
    package(__init__=RUNS + "from latepack.part import VALUE\ndef f():\n    return VALUE\n", part="VALUE = 7\n")
    put_off(["latepack"])
    import latepack  # type: ignore[import-not-found]

    part = importlib.import_module("latepack.part")
    assert part.VALUE == 7 and latepack.part is part and _runs() == 0
    assert latepack.f() == 7 and latepack.VALUE == 7
    assert _runs() == 1 and type(latepack) is ModuleType and importlib.import_module("latepack") is latepack


def test_a_part_put_off_within_a_package(package: Write) -> None:
    package(__init__="from latepack import part\n", part=RUNS + "VALUE = 7\n")
    put_off(["latepack", "latepack.part"])
    latepack = importlib.import_module("latepack")
    assert latepack.part is sys.modules["latepack.part"] and _runs() == 0
    from latepack.part import VALUE  # type: ignore[import-not-found]

    assert VALUE == 7 and _runs() == 1


def test_parts_that_import_each_other(package: Write) -> None:
    package(
        __init__=RUNS + "from latepack.part import VALUE\nOWN = 1\n",
        part="import latepack\ntry:\n    latepack.OWN\nexcept AttributeError:\n    VALUE = 'not yet'\n",
    )
    put_off(["latepack"])
    assert importlib.import_module("latepack").OWN == 1
    assert sys.modules["latepack.part"].VALUE == "not yet" and _runs() == 1


def test_its_own_error_comes_at_each_use(package: Write) -> None:
    package(__init__=RUNS + "raise OSError('broken')\n")
    put_off(["latepack"])
    latepack = importlib.import_module("latepack")
    for expected in (1, 2):
        with pytest.raises(OSError, match="broken"):
            _ = latepack.anything
        assert _runs() == expected


def test_a_name_that_it_does_not_have(package: Write) -> None:
    package(__init__=RUNS)
    put_off(["latepack"])
    latepack = importlib.import_module("latepack")
    for _ in range(2):
        with pytest.raises(AttributeError, match=r"module 'latepack' has no attribute 'nothing'"):
            _ = latepack.nothing
    assert _runs() == 1


def test_threads_that_ask_at_once_run_it_once(package: Write) -> None:
    package(__init__=RUNS + "import time\ntime.sleep(0.05)\nVALUE = 7\n")
    put_off(["latepack"])
    latepack = importlib.import_module("latepack")
    seen: list[object] = []
    threads = [threading.Thread(target=lambda: seen.append(latepack.VALUE)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [7] * 8 and _runs() == 1


def test_a_class_that_is_called_runs_it(package: Write) -> None:
    made = (
        RUNS
        + "class Made:\n    KIND = 'real'\n    def __init__(self, value, *, twice=False):\n        self.value = value\n"
    )
    package(__init__="", part=made)
    put_off_classes("latepack.part", "Made")
    from latepack.part import Made

    def annotated(each: Made | None) -> Made | str:
        return each or ""

    assert annotated(None) == "" and _runs() == 0
    assert Made(7, twice=True).value == 7 and Made(8).value == 8 and Made.KIND == "real" and _runs() == 1
    assert isinstance(Made(7), importlib.import_module("latepack.part").Made)
    with pytest.raises(TypeError, match="unexpected"):
        Made(7, thrice=True)
    put_off_classes("latepack.part", "Made")
    assert importlib.import_module("latepack.part").Made.KIND == "real"


def test_what_is_imported_already_stays(package: Write) -> None:
    package(__init__=RUNS)
    before = importlib.import_module("latepack")
    put_off(["latepack"])
    assert sys.modules["latepack"] is before and _runs() == 1


def test_what_is_to_be_done_before_it_runs(package: Write) -> None:
    package(__init__=RUNS + "from latepack.part import VALUE\n", part="VALUE = 7\n")
    done: list[int] = []
    put_off(["latepack"], before=lambda: done.append(_runs()))
    latepack = importlib.import_module("latepack")
    assert not done
    assert latepack.VALUE == 7 and latepack.VALUE == 7 and done == [0] and _runs() == 1


def test_what_does_not_exist_is_said_at_once() -> None:
    with pytest.raises(ModuleNotFoundError, match="latepack_nowhere"):
        put_off(["latepack_nowhere"])


def test_the_collector_rests_and_goes_on() -> None:
    with pytest.raises(OSError, match="broken"), uncollected():
        assert not gc.isenabled()
        raise OSError("broken")
    assert gc.isenabled()
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()
