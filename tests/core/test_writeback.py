"""What leaves the page cache is on the disk, or who asked for it hears that it is not."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from inos.core.writeback import leave_cache, start_writeback


def test_what_leaves_the_cache_can_be_read(tmp_path: Path) -> None:
    content = os.urandom(300_001)
    path = tmp_path / "file"
    with path.open("w+b", buffering=0) as file:
        file.write(content)
        start_writeback(file.fileno())
        leave_cache(file.fileno(), 0, 200_000)
        leave_cache(file.fileno(), 200_000, len(content))
    assert path.read_bytes() == content


if sys.platform == "linux":

    def test_a_failure_is_raised() -> None:
        reading, writing = os.pipe()
        try:
            with pytest.raises(OSError, match="seek"):
                leave_cache(writing, 0, 1)
        finally:
            os.close(reading)
            os.close(writing)
        with pytest.raises(OSError, match="descriptor"):
            leave_cache(writing, 0, 1)
