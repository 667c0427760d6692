"""A node's components on a data root of the test's own."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from component_bench import OpenBench, opened_bench


@pytest.fixture
def bench(tmp_path: Path) -> OpenBench:
    """Opens the same data root each time, as a node that starts does."""
    return partial(opened_bench, tmp_path)
