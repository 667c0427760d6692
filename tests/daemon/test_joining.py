"""Leaving one mesh for another: refused in company, and kept over a restart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inos.core.env import RealEnv
from inos.core.errors import BadInput, Conflict, WrongPassphrase
from inos.core.options import InitOptions
from inos.crypto.phrase import new_phrase
from inos.daemon.joining import keep_joined, refuse_if_in_company
from inos.daemon.roots import NAME_SETTING, change_passphrase, host_name, init_home, opened_root
from inos.mesh.join import Joined
from inos.node.disk import Disk
from inos.node.identity import Identity
from inos.state.capability import Capability
from inos.state.certificates import Grant, issue_certificate
from inos.state.record import Record
from inos.state.records import sign_record
from inos.state.revocation import MEMBERS
from inos.state.tables import EVERYWHERE_SECTOR
from inos.store.dataroot import DataRoot
from inos.testing.members import ISSUED_MS, Team, fixed_key

PHRASE = new_phrase(bytes(32))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    init_home(InitOptions(tmp_path / "home", PHRASE, None, "attic"))
    return tmp_path / "home"


@contextmanager
def opened(home: Path, passphrase: str | None = None) -> Iterator[tuple[Disk, Identity]]:
    with opened_root(DataRoot(home), passphrase, RealEnv()) as both:
        yield both


def keep(disk: Disk, *records: Record) -> None:
    disk.records.apply(records, [EVERYWHERE_SECTOR] * len(records))


def member(identity: Identity, name: str) -> Record:
    """The record of another member of this node's mesh, certified by its founder."""
    key = fixed_key("joining", name)
    grant = Grant(identity.genesis.mesh, key.public_key, identity.owner, True, ISSUED_MS, key.public_key[:16])
    value = Capability(issue_certificate(identity.owner_key, grant).encode(), ()).encode()
    return sign_record(key, MEMBERS, key.public_key, value, 1)


def test_a_node_alone_may_leave(home: Path) -> None:
    with opened(home) as (disk, identity):
        refuse_if_in_company(disk, identity)
        own = Capability(identity.certificate.encode(), ()).encode()
        keep(disk, sign_record(identity.node_key, MEMBERS, identity.node, own, 1))
        refuse_if_in_company(disk, identity)


def test_a_node_in_company_may_not(home: Path) -> None:
    with opened(home) as (disk, identity):
        keep(disk, member(identity, "other"))
        with pytest.raises(Conflict, match="other members") as error:
            refuse_if_in_company(disk, identity)
        assert "inos init --home" in error.value.hint


def test_members_of_a_mesh_left_behind_are_no_company(home: Path) -> None:
    with opened(home) as (disk, identity):
        keep(disk, Team("left behind").machine("old").record())
        refuse_if_in_company(disk, identity)


def test_what_was_joined_is_there_at_the_next_start(home: Path) -> None:
    team = Team("joined")
    inviter = team.machine("inviter")
    with opened(home) as (disk, identity):
        founded = identity.genesis
        grant = Grant(team.genesis.mesh, identity.node, identity.owner, False, ISSUED_MS, bytes(16))
        certificate = issue_certificate(team.founder, grant)
        keep_joined(disk, Joined(team.genesis, certificate, (inviter.record(),)))
    with opened(home) as (disk, identity):
        assert identity.genesis == team.genesis != founded
        assert identity.certificate == certificate
        assert disk.records.get(MEMBERS, inviter.node) == inviter.record()
        with pytest.raises(Conflict):
            refuse_if_in_company(disk, identity)


def test_a_new_root_shows_its_phrase_once_and_a_restored_one_never(tmp_path: Path) -> None:
    fresh = init_home(InitOptions(tmp_path / "fresh"))
    assert len(fresh.phrase.split()) == 24 and fresh.node_name == host_name()
    restored = init_home(InitOptions(tmp_path / "restored", fresh.phrase, None, "attic"))
    assert restored.phrase == "" and restored.owner == fresh.owner and restored.peer != fresh.peer
    with opened(tmp_path / "restored") as (disk, identity):
        assert disk.settings.get(NAME_SETTING) == b"attic"
        assert identity.peer == restored.peer
    with pytest.raises(BadInput):
        init_home(InitOptions(tmp_path / "wrong", "no phrase at all"))
    assert not (tmp_path / "wrong" / "cocoon").exists()


def test_a_passphrase_is_changed_and_the_node_stays_who_it_is(home: Path) -> None:
    with opened(home) as (_, identity):
        before = identity.peer
    change_passphrase(home, None, "a passphrase of some length")
    with opened(home, "a passphrase of some length") as (_, identity):
        assert identity.peer == before
    with pytest.raises(WrongPassphrase), opened(home, "another one of some length"):
        pass
