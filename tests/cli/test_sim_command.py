"""inos sim: what it prints, when it fails, bad input."""

from __future__ import annotations

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
