"""One seed decides everything: the same run in another process, under another hash seed, down to the last byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
RUN = ("-m", "inos", "sim", "--seed", "5", "--nodes", "7", "--minutes", "2", "--json")


def output(hash_seed: str) -> bytes:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, *RUN], env=environment, capture_output=True, timeout=250, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.timeout(280)
def test_the_same_seed_says_the_same_to_the_last_byte() -> None:
    first = output("1")
    assert first == output("2")
    lines = [json.loads(line) for line in first.splitlines()]
    assert lines[-1]["event"] == "summary" and lines[-1]["ok"] and lines[-1]["violations"] == []
    assert len(lines) > 10 and all(line["event"] == "action" for line in lines[:-1])
    assert lines[-1]["acknowledged"] >= 5 and lines[-1]["frames"] > 1000
