"""The allocator setting: it takes, can be repeated, and saves the page faults it is there for."""

import multiprocessing
import platform
import resource
from collections.abc import Callable

import pytest

from inos.core.memory import keep_large_buffers

CHUNK_BYTES = 1 << 20
ROUNDS = 100


def _faults(prepare: Callable[[], object], answer: "multiprocessing.SimpleQueue[int]") -> None:
    prepare()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for number in range(ROUNDS):
        kept = bytes(CHUNK_BYTES - number), bytes(CHUNK_BYTES), bytes(CHUNK_BYTES)
        del kept
    answer.put(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)


def faults_after(prepare: Callable[[], object]) -> int:
    """Page faults of ROUNDS rounds of chunk buffers in a process of its own."""
    context = multiprocessing.get_context("spawn")
    answer: multiprocessing.SimpleQueue[int] = context.SimpleQueue()
    child = context.Process(target=_faults, args=(prepare, answer))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    return answer.get()


def test_it_can_be_called_again() -> None:
    assert keep_large_buffers() == keep_large_buffers()


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_elsewhere_it_does_nothing(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", system)
    assert keep_large_buffers() is False


if platform.libc_ver()[0] == "glibc":

    def test_large_buffers_are_kept() -> None:
        pages = ROUNDS * 3 * CHUNK_BYTES // resource.getpagesize()
        assert faults_after(keep_large_buffers) < pages / 10
