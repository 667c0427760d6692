"""Whom an operator means by a peer id or a name, and that nobody hides behind another's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from inos.core.errors import BadInput, NotFound
from inos.core.ids import OwnerId, PeerId
from inos.core.options import InitOptions
from inos.daemon.roots import init_home
from inos.daemon.service import node_named
from inos.state.capability import Member

PEERS = [PeerId.from_public_key(bytes([number]) * 32) for number in range(4)]
MEMBERS = {
    peer.public_key(): Member(peer.public_key(), peer, OwnerId(bytes(32)), False, (), "", "heavy", 0, 0, 1, 0, name)
    for peer, name in zip(PEERS, ("desk", "shelf", "shelf", "attic"), strict=True)
}


def test_a_member_is_meant_by_its_peer_id_or_by_a_name_that_only_it_has() -> None:
    assert node_named(MEMBERS, PEERS[1]) == PEERS[1].public_key()
    assert node_named(MEMBERS, "desk") == PEERS[0].public_key()
    with pytest.raises(BadInput, match="2 members are named"):
        node_named(MEMBERS, "shelf")
    for nobody in ("cellar", PeerId.from_public_key(bytes([9]) * 32)):
        with pytest.raises(NotFound):
            node_named(MEMBERS, nobody)


def test_who_takes_another_s_peer_id_for_a_name_shields_nobody() -> None:
    hostile = dict(MEMBERS)
    for mine, other in ((1, 2), (2, 1)):
        key = PEERS[mine].public_key()
        hostile[key] = replace(hostile[key], name=PEERS[other])
    assert [node_named(hostile, peer) for peer in PEERS] == [peer.public_key() for peer in PEERS]


def test_no_node_is_named_like_a_peer_id(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="must not look like a peer id"):
        init_home(InitOptions(tmp_path / "home", None, None, PEERS[0]))
    assert not (tmp_path / "home").exists()
