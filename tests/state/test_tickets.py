"""Tickets and invitations: typing errors, secrets that stay secret, golden text."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.errors import BadFrame, BadInput, BadTicket, NewerFormat
from inos.state import tickets
from inos.state.invitations import Terms, decode_invitation, hide, make_invitation
from inos.state.tickets import MAX_ADDRESSES, Ticket, make_ticket, parse_ticket
from inos.testing.members import Team

VECTORS = json.loads((Path(__file__).parent / "vectors" / "membership.json").read_text())
TEAM = Team()
FIRST = TEAM.machine("first")
SECRET = b"sixteen secrets!"
EXPIRES_S = 1_800_000_600


def ticket(**changes: Any) -> Ticket:
    terms = Terms(EXPIRES_S * 1000, single_use=True)
    invitation = make_invitation(FIRST.key, TEAM.genesis.mesh, terms, invitation_id=b"i" * 16, secret=SECRET)
    return replace(make_ticket(TEAM.genesis, invitation, SECRET, [FIRST.address]), **changes)


TEXT = ticket().text()


def test_a_ticket_returns_whole() -> None:
    assert parse_ticket(TEXT) == ticket()
    assert TEXT.startswith("inos")
    assert TEXT.isalnum() and TEXT.lower() == TEXT


def test_golden_ticket_still_reads() -> None:
    found = parse_ticket(VECTORS["ticket"])
    assert found.genesis.mesh.hex() == VECTORS["mesh"]
    assert found.invitation.is_signed() and found.invitation.terms == Terms(1_800_000_600_000, True)


def test_wrapped_shouted_and_quoted_tickets_read_too() -> None:
    wrapped = "\n  ".join(TEXT[at : at + 60] for at in range(0, len(TEXT), 60)) + "\r\n"
    assert parse_ticket(wrapped) == ticket()
    assert parse_ticket(TEXT.upper()) == ticket()


@given(st.data())
@settings(max_examples=300)
def test_a_typing_error_is_noticed(data: st.DataObject) -> None:
    at = data.draw(st.integers(4, len(TEXT) - 1))
    letter = data.draw(st.sampled_from(sorted("abcdefghijklmnopqrstuvwxyz234567")))
    typed = TEXT[:at] + letter + TEXT[at + 1 :]
    if typed != TEXT:
        with pytest.raises(BadTicket) as caught:
            parse_ticket(typed)
        assert caught.value.hint


@pytest.mark.parametrize("letter", "abcdefghijklmnopqrstuvwxyz234567")
def test_the_last_letter_counts_too(letter: str) -> None:
    if not TEXT.endswith(letter):
        with pytest.raises(BadTicket):
            parse_ticket(TEXT[:-1] + letter)


@given(st.integers(0, len(TEXT) - 1))
def test_a_ticket_cut_short_is_noticed(size: int) -> None:
    with pytest.raises(BadTicket):
        parse_ticket(TEXT[:size])


@given(st.integers(4, len(TEXT) - 2))
def test_two_letters_swapped_are_noticed(at: int) -> None:
    typed = TEXT[:at] + TEXT[at + 1] + TEXT[at] + TEXT[at + 2 :]
    if typed != TEXT:
        with pytest.raises(BadTicket):
            parse_ticket(typed)


@pytest.mark.parametrize("text", ["", "inos", "hello", "inosaaaa", "inos:" + TEXT, TEXT + "é", "inos" + "a" * 100_000])
def test_what_is_no_ticket_is_refused(text: str) -> None:
    with pytest.raises(BadTicket) as caught:
        parse_ticket(text)
    assert "copy the whole ticket" in caught.value.hint


def test_a_letter_no_ticket_has_is_named() -> None:
    with pytest.raises(BadTicket, match=r"'0' \(character 41\)"):
        parse_ticket(TEXT[:40] + "0" + TEXT[41:])


@given(st.text(max_size=300))
def test_no_text_breaks_the_parser(text: str) -> None:
    with pytest.raises(BadTicket):
        parse_ticket(text)
    with pytest.raises(BadTicket):
        parse_ticket("inos" + text)


@given(st.binary(max_size=300))
def test_no_bytes_behind_a_good_checksum_break_the_parser(data: bytes) -> None:
    with pytest.raises(BadTicket):
        parse_ticket(armoured(data))


def armoured(data: bytes) -> str:
    return "inos" + base64.b32encode(data + tickets._checksum(data)).decode().rstrip("=").lower()


def test_a_ticket_of_a_later_release_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tickets, "VERSION", 2)
    later = ticket().text()
    monkeypatch.undo()
    with pytest.raises(BadTicket, match="newer release") as caught:
        parse_ticket(later)
    assert "update" in caught.value.hint


def test_a_ticket_whose_parts_do_not_belong_together_is_refused() -> None:
    with pytest.raises(BadTicket, match="contradicts"):
        parse_ticket(ticket(genesis=Team("other").genesis).text())
    with pytest.raises(BadTicket, match="contradicts"):
        parse_ticket(ticket(secret=bytes(16)).text())


def test_a_ticket_needs_somebody_to_ask() -> None:
    with pytest.raises(BadInput, match="no address"):
        make_ticket(TEAM.genesis, ticket().invitation, SECRET, [])
    with pytest.raises(BadTicket, match="nobody"):
        parse_ticket(ticket(addresses=()).text())
    with pytest.raises(BadTicket, match="garbled"):
        parse_ticket(ticket(addresses=("/ip4/127.0.0.1/tcp/1",)).text())


def test_a_ticket_keeps_the_first_addresses() -> None:
    many = [f"/ip4/10.0.0.{number}/tcp/4001/p2p/{FIRST.peer}" for number in range(20)]
    assert parse_ticket(make_ticket(TEAM.genesis, ticket().invitation, SECRET, many).text()).addresses == tuple(
        many[:MAX_ADDRESSES]
    )


def test_neither_ticket_nor_invitation_prints_the_secret() -> None:
    for thing in (ticket(), ticket().invitation):
        for text in (repr(thing), str(thing), f"{thing}"):
            assert SECRET.hex() not in text and "sixteen" not in text and TEXT not in text


def test_an_invitation_holds_only_the_digest_of_its_secret() -> None:
    invitation = ticket().invitation
    assert SECRET not in invitation.encode()
    assert hide(SECRET) in invitation.encode()
    assert invitation.opens_with(SECRET)
    assert not invitation.opens_with(hide(SECRET))


def test_an_invitation_expires_at_its_time() -> None:
    invitation = ticket().invitation
    assert not invitation.expired(EXPIRES_S - 0.01)
    assert invitation.expired(EXPIRES_S)


def test_who_changes_an_invitation_unsigns_it() -> None:
    invitation = ticket().invitation
    assert decode_invitation(invitation.encode()) == invitation
    longer = Terms(EXPIRES_S * 2000, single_use=False)
    other = make_invitation(FIRST.key, TEAM.genesis.mesh, longer, invitation_id=b"i" * 16, secret=SECRET)
    assert invitation.is_signed()
    assert not replace(other, signature=invitation.signature).is_signed()
    assert not replace(invitation, issuer=TEAM.machine("second").node).is_signed()


@given(st.binary(max_size=400))
def test_garbage_is_no_invitation(data: bytes) -> None:
    with pytest.raises((BadFrame, NewerFormat)):
        decode_invitation(data)


def test_a_secret_has_sixteen_bytes() -> None:
    with pytest.raises(BadInput, match="16 bytes"):
        make_invitation(FIRST.key, TEAM.genesis.mesh, Terms(0, True), invitation_id=b"i" * 16, secret=b"short")
