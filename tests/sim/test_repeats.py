"""The same seed is the same run, frame for frame, in another process and under another order of hashes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("repeat_run.py")


def run(seed: int, hash_seed: int) -> list[str]:
    """What the run prints: frames that arrived, frames sent, lost and duplicated, and the digest of the trace."""
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    done = subprocess.run(
        [sys.executable, SCRIPT, str(seed)], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_a_seed_repeats_under_another_hash_seed_and_another_seed_differs() -> None:
    first = run(1, hash_seed=1)
    arrived, sent, lost, duplicated = map(int, first[:4])
    assert arrived > 1000
    assert sent >= arrived + lost
    assert lost > 50
    assert duplicated > 50
    assert run(1, hash_seed=2) == first
    assert run(2, hash_seed=1)[-1] != first[-1]
