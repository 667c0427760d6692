"""inos sim: what it prints, when it fails, bad input."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any


def test_one_seed_for_people(alone: Any) -> None:
    done = alone("sim", "--seed", "3", "--nodes", "5", "--minutes", "0.5")
    assert done.code == 0, done.text + done.err
    assert done.text.startswith("seed 3: 5 nodes,") and done.text.rstrip().endswith("ok")


def test_several_seeds_side_by_side_and_a_report(alone: Any, tmp_path: Path) -> None:
    report = tmp_path / "night.md"
    done = alone(
        "sim", "--seeds", "2", "--jobs", "2", "--nodes", "5", "--minutes", "0.3", "--report", str(report), "--json"
    )
    assert done.code == 0, done.text + done.err
    assert {line["seed"] for line in done.lines} == {0, 1} and all(line["ok"] for line in done.lines)
    assert "Every invariant held in every run." in report.read_text()


def test_bad_input(alone: Any) -> None:
    for options in (("--minutes", "0"), ("--minutes", "-1"), ("--minutes", "nan"), ("--minutes", "1e9")):
        done = alone("sim", *options)
        assert done.code == 1 and "hint:" in done.err and not done.text
    for options in (("--nodes", "2"), ("--nodes", "5000"), ("--seeds", "0"), ("--seed", "-1")):
        assert alone("sim", *options).code == 2


def test_a_report_that_cannot_be_written_is_told_before_anything_is_played(alone: Any, tmp_path: Path) -> None:
    done = alone("sim", "--seeds", "1000000", "--minutes", "600", "--report", str(tmp_path / "no" / "such.md"))
    assert done.code == 1 and "cannot write" in done.err and "hint:" in done.err and not done.text


def test_one_seed_can_have_a_report_too(alone: Any, tmp_path: Path) -> None:
    report = tmp_path / "one.md"
    done = alone("sim", "--nodes", "5", "--minutes", "0.2", "--report", str(report))
    assert done.code == 0 and "1 seeds, 0 failed" in report.read_text()


def test_shrinking_is_for_one_seed(alone: Any) -> None:
    done = alone("sim", "--seeds", "2", "--shrink")
    assert done.code == 1 and "--seed" in done.err


def test_interrupting_a_run_leaves_no_error_behind(alone: Any) -> None:
    running = alone.popen("sim", "--nodes", "20", "--minutes", "60")
    time.sleep(3)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 130 and b"internal error" not in err and b"Traceback" not in err
