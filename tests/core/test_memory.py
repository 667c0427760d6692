"""The allocator setting: it takes, can be repeated, and saves the page faults it is there for."""

import platform
import subprocess
import sys

import pytest

from inos.core.memory import keep_large_buffers

ROUNDS = 100
PAGES_A_ROUND = 3 * 256
COUNT_FAULTS = f"""
import resource, sys
from inos.core.memory import keep_large_buffers

if sys.argv[1] == "kept":
    keep_large_buffers()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for number in range({ROUNDS}):
    held = bytes((1 << 20) - number), bytes(1 << 20), bytes(1 << 20)
    del held
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_it_can_be_called_again() -> None:
    assert keep_large_buffers() == keep_large_buffers()


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_elsewhere_it_does_nothing(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", system)
    assert keep_large_buffers() is False


if platform.libc_ver()[0] == "glibc":

    def test_large_buffers_are_kept() -> None:
        command = [sys.executable, "-c", COUNT_FAULTS, "kept"]
        faults = int(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
        assert faults < ROUNDS * PAGES_A_ROUND / 10
