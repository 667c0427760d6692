"""docs/conformance.md has one row for each requirement, and everything it names exists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# How many requirements each part of the mission has.
PARTS = {"ID": 3, "ST": 9, "PR": 1, "OB": 4, "ME": 8, "RE": 7, "EC": 3, "TR": 3, "CO": 4, "MO": 5, "LI": 3, "MS": 7}
PARTS |= {"BR": 3, "OP": 4}
REQUIREMENTS = [f"{part}{number}" for part, count in PARTS.items() for number in range(1, count + 1)]
# Paths without a test of their own: commands that prove something too long or too loud for every run.
COMMANDS = {"make soak", "make bench", "make demo", "make crash"}


@dataclass(frozen=True)
class Row:
    name: str
    places: tuple[str, ...]
    proofs: tuple[str, ...]
    state: str


def rows() -> list[Row]:
    found = []
    for line in (ROOT / "docs" / "conformance.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and re.fullmatch(r"[A-Z]{2}\d+", cells[0]):
            assert len(cells) == 6, f"a row has six cells: {line}"
            found.append(Row(cells[0], tuple(_quoted(cells[2])), tuple(_quoted(cells[3])), cells[4]))
    return found


def _quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_requirement_has_one_row_in_order() -> None:
    assert [row.name for row in rows()] == REQUIREMENTS


def test_states_are_known() -> None:
    assert {row.state for row in rows()} <= {"done", "begun", "open"}


@pytest.mark.parametrize("row", [row for row in rows() if row.state != "open"], ids=lambda row: row.name)
def test_what_is_claimed_exists(row: Row) -> None:
    assert row.places, f"{row.name} is {row.state} but lives nowhere"
    missing = [place for place in row.places if not (ROOT / "src" / "inos" / place).is_file()]
    assert not missing, f"{row.name} names files that are not there: {missing}"
    assert row.proofs, f"{row.name} is {row.state} but nothing proves it"
    unproven = [proof for proof in row.proofs if proof not in COMMANDS and not _is_test(proof)]
    assert not unproven, f"{row.name} names tests that are not there: {unproven}"


def _is_test(proof: str) -> bool:
    path, _, name = proof.partition("::")
    file = ROOT / "tests" / path
    return file.is_file() and (not name or re.search(rf"\bdef {re.escape(name)}\(", file.read_text()) is not None)
