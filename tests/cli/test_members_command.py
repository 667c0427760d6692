"""invite, join, peers, revoke, status."""

from __future__ import annotations

from typing import Any

import pytest

from inos.cli.members import parse_time_s
from inos.core.errors import BadInput


def test_a_ticket_is_printed_and_taken(inos: Any) -> None:
    done = inos("invite", "--single-use", "--lifetime", "30min")
    assert done.text.startswith("inos-ticket-") and "one machine" in done.err
    assert "joined mesh" in inos("join", done.text.strip()).err
    assert inos("join", done.text.strip()).code == 1
    ticket = inos("invite", "--json").json
    assert set(ticket) == {"ticket", "expires_at", "single_use", "founder_only"}
    assert inos("join", "--json", ticket["ticket"]).json["peers"] == 5


def test_peers(inos: Any) -> None:
    lines = inos("peers").text.splitlines()
    assert lines[0].split()[:2] == ["NODE", "STATE"] and len(lines) == 6
    peers = inos("peers", "--json").lines
    assert peers[4]["state"] == "failed" and peers[4]["latency_ms"] is None
    assert "revoked node-5" in inos("revoke", peers[4]["peer"]).err
    assert len(inos("peers", "--json").lines) == 4


def test_status(inos: Any) -> None:
    text = inos("status").text
    assert "4 of 5 members alive" in text and "PeerUnavailable: node-5 is silent" in text
    status = inos("status", "--json").json
    assert status["workers"][0] == {
        "name": "repair",
        "phase": "waiting",
        "runs": 7,
        "failures": 0,
        "last_success_age_s": 2.5,
        "last_error": "",
        "detail": {"queued": 0},
    }


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("5min", 300), ("5m", 300), ("2h", 7200), ("1d", 86400)]
)
def test_lengths_of_time(text: str, seconds: int) -> None:
    assert parse_time_s(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-5", "5 min", "1.5h", "x", "h", "9" * 30])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(BadInput):
        parse_time_s(text)
