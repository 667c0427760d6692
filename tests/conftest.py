"""What holds for every test: no settings leak in from the machine, nothing is left running behind."""

from __future__ import annotations

import os
from collections.abc import Iterator

import apsw
import hypothesis
import psutil
import pytest

# One run must not differ from the next on the same commit; `make fuzz` and `make soak` are where chance belongs.
hypothesis.settings.register_profile("inos", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("inos")

LINGER_S = 5.0

# Folders with the longest files first: `make test` gives each file to one worker, in this order, so that none begins a
# long one when the others are done. To one, because the nodes that a module shares are started by each worker it is on.
LONG_FIRST = ("e2e", "messages", "node", "cli", "sim", "replication", "components", "store", "backup")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {folder: rank for rank, folder in enumerate(LONG_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.parent.name, len(ranks)))


@pytest.fixture(autouse=True, scope="session")
def _no_settings_from_outside() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("INOS_")]:
            patch.delenv(name)
        yield


@pytest.fixture(autouse=True, scope="module")
def _no_process_left_behind() -> Iterator[None]:
    """A module that started processes has ended them, grandchildren too, by the time it is done."""
    me = psutil.Process()
    before = {child.pid for child in me.children(recursive=True)}
    yield
    _, alive = psutil.wait_procs([c for c in me.children(recursive=True) if c.pid not in before], timeout=LINGER_S)
    left = [f"{process.pid}: {' '.join(process.cmdline())[:200]}" for process in alive if process.is_running()]
    assert not left, "processes left running:\n" + "\n".join(left)


@pytest.fixture(autouse=True, scope="module")
def _no_database_left_open() -> Iterator[None]:
    """Whoever opened a database has closed it, also where opening failed half-way: the interpreter would close it at
    its end, when a file system in Python cannot answer any more, and crash."""
    yield
    left = sorted(connection.filename for connection in apsw.connections())
    assert not left, f"databases left open: {left}"
