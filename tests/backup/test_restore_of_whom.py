"""Which node a restore makes of a data root, and what it leaves alone: places that several share, phrases, broken
roots, a backup without chunks."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest
from backup_roots import OTHER, PHRASE, Root, made, node_backup, plain

from crash.calls import Step
from crash.power import PowerLoss
from crash.watched import Work, run
from inos.core.backups import KeySource, RestoreReport
from inos.core.env import RealEnv
from inos.core.errors import BadInput, Conflict, NotFound, WrongPassphrase
from inos.core.ids import PeerId
from inos.crypto.hashing import blake3_digest
from inos.daemon.backups import restore_home
from inos.daemon.roots import NAME_SETTING
from inos.objects.chunks import seal_chunk
from inos.store.dataroot import DataRoot
from inos.store.swap import begin_swap, finish_swap, new_folder


def peer(root: Root) -> str:
    return str(PeerId.from_public_key(DataRoot(root.home).node_record().public_key))


def named(root: Root, name: str) -> Root:
    with root.open() as (disk, _):
        disk.settings.put({NAME_SETTING: name.encode()})
    return root


def restored(root: Root, place: Path, at: str = "", node: str = "", phrase: str | None = None) -> RestoreReport:
    *_, last = restore_home(KeySource(root.home, None, phrase), str(place), at, node)
    assert isinstance(last, RestoreReport) and last.finished
    return last


def anew(root: Root, passphrase: str | None) -> Work:
    def work(_acknowledge: object) -> None:
        root.restore(keys=KeySource(root.home, passphrase, PHRASE))

    return work


def state(home: Path) -> dict[str, bytes]:
    return {
        path.relative_to(home).as_posix(): path.read_bytes()
        for path in home.rglob("*")
        if path.is_file() and path.name != "lock" and not path.name.startswith("inos.db-")
    }


def test_in_a_shared_place_a_node_stays_the_node_it_is(tmp_path: Path) -> None:
    one, two = named(made(tmp_path / "one"), "desk"), named(made(tmp_path / "two"), "shelf")
    shared = tmp_path / "shared"
    one.store(70)
    mine, who = one.contents(), peer(one)
    first = one.backup(str(shared)).snapshot
    other = two.backup(str(shared)).snapshot  # the newest there is
    done = restored(one, shared)
    assert (done.snapshot, done.node_name, done.peer) == (first, "desk", who)
    assert one.contents() == mine and peer(one) == who
    assert restored(one, shared, at="2999-01-01").snapshot == first

    fresh = Root(tmp_path / "fresh", shared)
    with pytest.raises(Conflict, match=r"desk .*shelf") as refused:
        restored(fresh, shared, phrase=PHRASE)
    assert peer(two)[-12:] in refused.value.message and "--node" in refused.value.hint
    assert not fresh.home.exists()
    for node in ("nobody", peer(two)[-5:]):
        with pytest.raises(NotFound, match="desk"):
            restored(fresh, shared, node=node, phrase=PHRASE)
    assert restored(fresh, shared, node="desk", phrase=PHRASE).snapshot == first
    assert peer(fresh) == who and fresh.contents() == mine
    # Named, by its id or by itself, another node's snapshot is what was asked for.
    assert restored(fresh, shared, node=peer(two)[-12:]).peer == peer(two)
    assert restored(one, shared, at=other[:12]).peer == peer(two)
    with pytest.raises(NotFound, match="only of"):
        DataRoot.create(tmp_path / "three", PHRASE, None, RealEnv())
        restored(Root(tmp_path / "three", shared), shared)
    named(made(tmp_path / "four"), "desk").backup(str(shared))
    with pytest.raises(Conflict, match="several nodes have the name"):
        restored(two, shared, node="desk")


def test_the_data_of_another_phrase_stays(tmp_path: Path) -> None:
    """Also where its cocoon is gone, or where node.json is and the cocoon is of another."""
    made(tmp_path / "ours").backup(str(tmp_path / "place"))
    theirs = made(tmp_path / "theirs", OTHER)
    (theirs.home / "components").mkdir()
    (theirs.home / "components/state").write_bytes(b"theirs")
    for missing in ("cocoon", "node.json"):
        kept = (theirs.home / missing).read_bytes()
        (theirs.home / missing).unlink()
        before = state(theirs.home)
        with pytest.raises(Conflict, match="another phrase"):
            restored(theirs, tmp_path / "place", phrase=PHRASE)
        assert state(theirs.home) == before
        (theirs.home / missing).write_bytes(kept)
        (theirs.home / missing).chmod(0o600)


def test_a_database_alone_tells_whose_a_folder_is(tmp_path: Path) -> None:
    """Neither cocoon nor node.json is there: another phrase's database stays, our own is replaced."""
    ours, theirs = made(tmp_path / "ours"), made(tmp_path / "theirs", OTHER)
    wanted = ours.contents()
    ours.backup(str(tmp_path / "place"))
    for root in (ours, theirs):
        for name in ("cocoon", "node.json", "keyfile"):
            (root.home / name).unlink()
    before = state(theirs.home)
    with pytest.raises(Conflict, match="does not open with this phrase") as refused:
        restored(theirs, tmp_path / "place", phrase=PHRASE)
    assert "--home" in refused.value.hint and state(theirs.home) == before
    restored(ours, tmp_path / "place", phrase=PHRASE)
    assert ours.contents() == wanted


@pytest.mark.parametrize("phrase", [None, PHRASE])
@pytest.mark.parametrize("left", [None, b"{"])
def test_a_root_without_node_json_is_brought_back(tmp_path: Path, phrase: str | None, left: bytes | None) -> None:
    root = made(tmp_path)
    wanted, who = root.contents(), peer(root)
    root.backup()
    (root.home / "node.json").unlink()
    if left:
        (root.home / "node.json").write_bytes(left)
    assert restored(root, root.dest, phrase=phrase).peer == who
    assert root.contents() == wanted and peer(root) == who


def test_what_is_refused_leaves_nothing(tmp_path: Path) -> None:
    root = made(tmp_path)
    root.backup()
    (tmp_path / "empty").mkdir()
    for home in (tmp_path / "new/deep", tmp_path / "empty"):
        for phrase, place, error in (
            ("one two three", root.dest, BadInput),
            (OTHER, root.dest, WrongPassphrase),
            (PHRASE, tmp_path / "no place", NotFound),
        ):
            with pytest.raises(error):
                restored(Root(home, place), place, phrase=phrase)
            assert not (tmp_path / "new").exists() and not list((tmp_path / "empty").iterdir())


def test_chunks_stay_where_the_backup_has_none(tmp_path: Path) -> None:
    """Of a backup into the mesh: this node's may be the only whole ones, in files and in the database."""
    root = made(tmp_path)
    with root.open() as (disk, keyring):
        for _ in node_backup(disk, keyring, str(root.dest), "mesh", RealEnv()):
            pass
    root.store(80, 81)
    root.store(180, 181, size=900)
    with root.open() as (disk, keyring):  # one that was a file then lies in the database now
        moved = seal_chunk(plain(0), keyring.convergence_secret()).piece
        disk.chunks.demote(1)
    wanted = root.contents()
    assert moved[0] in wanted and len(wanted) == 14
    (new_folder(root.home) / "blobs/00").mkdir(parents=True)
    (new_folder(root.home) / "blobs/00" / f"{bytes(32).hex()}.enc").write_bytes(b"left by another restore")
    root.restore()
    assert root.contents() == wanted
    with root.open() as (disk, _):
        assert not [
            found
            for prefix in range(256)
            if (found := disk.chunks.sweep_orphans(prefix)) and any((found.adopted, found.deleted, found.dropped))
        ]
    (root.home / "inos.db").write_bytes(b"damaged" * 1000)
    root.restore()
    assert {key for key, data in wanted.items() if len(data) > 64 << 10} <= root.contents().keys()


def test_an_earlier_restore_that_is_finished_first_says_what_opens_it(tmp_path: Path) -> None:
    root = made(tmp_path)
    wanted = root.contents()
    root.backup()
    fresh = Root(tmp_path / "fresh", root.dest)
    ran = run(anew(fresh, "first"), fresh.home, record=True)
    decided = 1 + next(at for at, step in enumerate(ran.steps) if step.path.endswith("restore/ready"))

    def broken_off() -> None:
        shutil.rmtree(fresh.home)
        run(anew(fresh, "first"), fresh.home, kill_at=decided + 3)
        assert (fresh.home / "restore/ready").exists() and not (fresh.home / "cocoon").exists()

    broken_off()
    with pytest.raises(Conflict, match="finished just now"):
        fresh.restore(keys=KeySource(fresh.home, "second", PHRASE))
    assert not (fresh.home / "restore").exists() and DataRoot(fresh.home).unlock("first")
    broken_off()
    fresh.restore(keys=KeySource(fresh.home, "first", PHRASE))
    DataRoot(fresh.home).change_passphrase("first", None, RealEnv())
    assert fresh.contents() == wanted


def test_a_swap_done_again_puts_nothing_new_away(tmp_path: Path) -> None:
    """Where the old state had none of it; also as earlier releases decided it."""
    for text in (None, "away staging\naway components\nput components\nput node.json\n"):
        home = tmp_path / ("now" if text is None else "earlier")
        (new_folder(home) / "components").mkdir(parents=True)
        (new_folder(home) / "components/state").write_bytes(b"state")
        (new_folder(home) / "node.json").write_bytes(b"node")
        begin_swap(home, ["components", "node.json"], ["staging", "components"])
        if text is not None:
            sealed = text.encode() + blake3_digest(text.encode()).hex().encode() + b"\n"
            (home / "restore/ready").write_bytes(sealed)
        (new_folder(home) / "components").rename(home / "components")  # the first time, as far as it came
        finish_swap(home)
        assert (home / "components/state").read_bytes() == b"state" and (home / "node.json").read_bytes() == b"node"


def test_component_files_are_on_the_disk_before_they_count(tmp_path: Path) -> None:
    """A loss of power right after the decision: what was built for it is whole."""
    root = made(tmp_path)
    wanted = {"app/1/data/state.bin": plain(5, 200_000), "app/note": b"note"}
    for name, data in wanted.items():
        (root.home / "components" / name).parent.mkdir(parents=True, exist_ok=True)
        (root.home / "components" / name).write_bytes(data)
    root.backup()
    base, template = tmp_path / "base", tmp_path / "template"
    base.mkdir()
    template.mkdir()
    home = base / "home"
    ran = run(anew(Root(home, root.dest), None), base, record=True)
    assert ran.end == "done"
    lost = PowerLoss(base, template)
    for step in steps_until_decided(ran.steps):
        lost.play(step)
    for seed in range(5):
        left = tmp_path / f"left{seed}"
        lost.leave(random.Random(seed), left)
        built = left / "home/restore/new/components"
        assert {name: (built / name).read_bytes() for name in wanted} == wanted
        assert json.loads((left / "home/restore/new/node.json").read_text())["node"]


def steps_until_decided(steps: list[Step]) -> list[Step]:
    """Those until the file that decides has its name for good."""
    at = next(at for at, step in enumerate(steps) if step.kind == "rename" and step.path.endswith("restore/ready"))
    return steps[: at + 2]
