"""Pruning a backup: what stays, what is freed, who must wait, and death at every file operation."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from backup_roots import Root, made, node_backup
from hypothesis import given
from hypothesis import strategies as st

from dying import DIED, DONE, run
from inos.backup.keeping import Moment, kept_for
from inos.backup.packs import Spot
from inos.backup.place import Use
from inos.backup.prune import Pruner
from inos.backup.remote import STALE_S, place_at
from inos.backup.repository import Repository
from inos.core.backups import KeepRules, PruneReport
from inos.core.env import RealEnv
from inos.core.errors import BadInput, Conflict, Corrupt, Locked, NotFound
from inos.core.ids import Address
from inos.daemon.backups import forget_snapshots, list_backup, prune_backup
from inos.store.dataroot import DataRoot

LAST = KeepRules(last=1)
DAY_MS = 24 * 3600 * 1000
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER_MS = int((START + timedelta(days=9 * 365)).timestamp() * 1000)


def moment(name: str, at: datetime, node: str = "node") -> Moment:
    return Moment(name, int(at.timestamp() * 1000), node)


def test_rules_keep_what_they_say() -> None:
    days = [moment(f"{day:03}", START + timedelta(days=day)) for day in range(400)]
    early = moment("early", START + timedelta(days=399, hours=-3))
    kept = kept_for([*days, early], KeepRules(last=2, daily=3, weekly=2, monthly=3, yearly=5), UTC, LATER_MS)
    assert kept == {
        "399": ("last", "daily", "weekly", "monthly", "yearly"),  # 4 February 2027, a Thursday
        "early": ("last",),
        "398": ("daily",),
        "397": ("daily",),
        "395": ("weekly", "monthly"),  # a Sunday, the last of January
        "364": ("monthly", "yearly"),
    }


def test_each_machine_has_its_own_and_without_a_rule_all_stay() -> None:
    some = [moment(f"{node}{day}", START + timedelta(days=day), node) for node in "ab" for day in range(3)]
    assert kept_for(some, LAST, UTC, LATER_MS) == {"a2": ("last",), "b2": ("last",)}
    assert kept_for(some, KeepRules(), UTC, LATER_MS) == {each.snapshot: ("all",) for each in some}


@given(st.lists(st.integers(0, 3 * 365), max_size=40), st.builds(KeepRules, *[st.integers(0, 4)] * 5))
def test_the_newest_always_stays_and_no_rule_keeps_more_than_it_says(days: list[int], rules: KeepRules) -> None:
    some = [moment(str(number), START + timedelta(days=day)) for number, day in enumerate(days)]
    kept = kept_for(some, rules, UTC, LATER_MS)
    for rule, limit in zip(("last", "daily", "weekly", "monthly", "yearly"), vars_of(rules), strict=True):
        assert sum(rule in why for why in kept.values()) <= limit
    if days:
        newest = max(each.created_ms for each in some)
        assert any(each.created_ms == newest and each.snapshot in kept for each in some)


def test_what_is_dated_ahead_takes_no_place() -> None:
    now = START + timedelta(days=9, minutes=1)
    days = [moment(f"{day}", START + timedelta(days=day)) for day in range(10)]
    ahead = [moment("ahead", START + timedelta(days=2000)), moment("soon", now + timedelta(seconds=1), "other")]
    now_ms = int(now.timestamp() * 1000)
    kept = kept_for([*days, *ahead], KeepRules(last=1, daily=2, yearly=1), UTC, now_ms)
    assert kept == {
        "9": ("last", "daily", "yearly"), "8": ("daily",), "ahead": ("future",), "soon": ("future",)
    }  # fmt: skip
    assert set(kept_for([*days, *ahead], KeepRules(), UTC, now_ms).values()) == {("all",)}


def vars_of(rules: KeepRules) -> list[int]:
    return [rules.last, rules.daily, rules.weekly, rules.monthly, rules.yearly]


@pytest.fixture
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packs of a few pieces, each with an index: a little backup with everything that a large one has."""
    monkeypatch.setattr("inos.backup.packs.PACK_BYTES", 100_000)
    monkeypatch.setattr("inos.backup.repository.PACKS_AN_INDEX", 2)


@pytest.fixture
def root(tmp_path: Path, small_packs: None) -> Root:
    """Two snapshots: of the chunks of the first, the second has half; both have a component's file."""
    root = made(tmp_path)
    (root.home / "components/app/1").mkdir(parents=True)
    (root.home / "components/app/1/state").write_bytes(b"state" * 30_000)
    root.store(*range(200, 214), size=70_000)
    root.backup()
    replace_half(root)
    root.backup()
    return root


def replace_half(root: Root) -> None:
    with root.open() as (disk, _):
        disk.chunks.remove_many([Address(address) for address in sorted(root_addresses(disk))[::2]])
    root.store(50, 51)


def root_addresses(disk: object) -> list[bytes]:
    return [bytes(address) for address in disk.chunks.addresses()]  # type: ignore[attr-defined]


def prune(root: Root, rules: KeepRules = LAST, place: str = "", *, dry_run: bool = False) -> PruneReport:
    *_, last = prune_backup(root.keys, place or str(root.dest), rules, dry_run=dry_run)
    assert last.finished
    return last


def snapshots(root: Root, place: str = "") -> list[str]:
    return [each.snapshot for each in list_backup(root.keys, place or str(root.dest))]


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def picture(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_no_snapshot_needs_is_freed_and_the_rest_restores(root: Root) -> None:
    wanted, before = root.contents(), size_of(root.dest)
    first, second = snapshots(root)
    planned = prune(root, dry_run=True)
    assert planned.dry_run and size_of(root.dest) == before and snapshots(root) == [first, second]
    assert [(each.snapshot, each.kept) for each in planned.snapshots] == [(first, ""), (second, "last")]
    done = prune(root)
    assert snapshots(root) == [second]
    assert done.freed > 500_000 and abs(done.freed - planned.freed) < 20_000
    assert abs(before - size_of(root.dest) - done.freed) < 10_000  # a snapshot and indexes
    assert root.check().problems == ()
    again = prune(root)
    assert (again.freed, again.packs, again.total) == (0, 0, 0)
    assert root.backup().sent < 200_000  # what opening the database changed
    shutil.rmtree(root.home / "blobs")
    shutil.rmtree(root.home / "components")
    root.restore(at=second)
    assert root.contents() == wanted
    assert (root.home / "components/app/1/state").read_bytes() == b"state" * 30_000


def test_without_a_rule_only_garbage_goes(root: Root) -> None:
    both, before = snapshots(root), picture(root.dest)
    root.store(*range(60, 66))
    assert run(root.backup, root.dest, "death", 12)[0] == DIED  # leaves packs that no snapshot needs
    left = size_of(root.dest) - sum(map(len, before.values()))
    assert left > 150_000
    assert prune(root, KeepRules()).freed > 150_000
    assert snapshots(root) == both and root.check().problems == ()
    assert size_of(root.dest) <= sum(map(len, before.values())) + 2000


def test_a_snapshot_that_is_named_goes_and_its_neighbours_stay(root: Root) -> None:
    root.backup()
    first, second, third = snapshots(root)
    *_, done = forget_snapshots(root.keys, str(root.dest), [second[:10]])
    assert [each.kept for each in done.snapshots] == ["not named", "", "not named"]
    assert snapshots(root) == [first, third] and root.check().problems == ()
    for wrong, kind in (("f" * 8, NotFound), (first[:7], BadInput), ("", BadInput), ("../../x" * 3, NotFound)):
        with pytest.raises(kind):
            list(forget_snapshots(root.keys, str(root.dest), [wrong]))
    assert snapshots(root) == [first, third]


@pytest.mark.parametrize("how", ["death", "full"])
def test_a_prune_broken_off_anywhere(root: Root, tmp_path: Path, how: str) -> None:
    second = snapshots(root)[1]
    wanted, kept = root.contents(), tmp_path / "kept"
    shutil.copytree(root.dest, kept)
    prune(root)
    whole = size_of(root.dest)
    code, outcomes = DIED, set()
    # Removing packs one by one is the same step over and over: every third of what comes late.
    for at in itertools.chain(range(1, 22), itertools.count(22, 3)) if how == "death" else itertools.count(1, 3):
        shutil.rmtree(root.dest)
        shutil.copytree(kept, root.dest)
        code, _ = run(lambda: prune(root), root.dest, how, at)
        outcomes.add(code)
        assert root.check().problems == (), at
        assert second in snapshots(root), at
        if at % 5 == 0:
            root.restore(at=second)
            assert root.contents() == wanted, at
            root.backup()  # on what a prune left half done
            assert root.check().problems == (), at
        else:
            prune(root)
            assert abs(size_of(root.dest) - whole) < 5000, at
        if code == DONE:
            break
    assert len(outcomes) == 2 and at > 15  # died or had no room, and in the end got through


def test_nothing_is_freed_that_cannot_be_judged(root: Root) -> None:
    index = next(iter(sorted(root.dest.glob("index/*"))))
    sound = index.read_bytes()
    index.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    before = picture(root.dest)
    with pytest.raises(Conflict, match="index"):
        prune(root)
    assert picture(root.dest) == before
    index.write_bytes(sound)
    first, second = snapshots(root)
    path = root.dest / "snapshots" / second
    path.write_bytes((data := path.read_bytes())[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(Conflict) as refused:
        prune(root)
    assert f"forget DEST {second[:12]}" in refused.value.hint
    *_, done = forget_snapshots(root.keys, str(root.dest), [second])
    assert snapshots(root) == [first] and done.packs and root.check().problems == ()


def test_a_list_that_is_missing_keeps_what_it_may_name(root: Root) -> None:
    for pack in root.dest.glob("packs/*/*"):
        pack.write_bytes(b"x" * pack.stat().st_size)
    before = picture(root.dest)
    with pytest.raises(Corrupt):
        prune(root)
    assert picture(root.dest) == before


def test_what_is_damaged_of_a_pack_stays_and_is_named(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, second = root.contents(), snapshots(root)[1]
    copied = Pruner._copy
    failed: list[str] = []

    def copy(self: Pruner, piece_id: bytes, spot: Spot) -> None:
        if len(failed) < 1:
            failed.append(spot.pack.hex())
            with monkeypatch.context() as patch:
                patch.setattr(Repository, "piece", unreadable)
                copied(self, piece_id, spot)
        else:
            copied(self, piece_id, spot)

    def unreadable(self: Repository, piece_id: bytes) -> bytes:
        raise Corrupt("a pack is damaged")

    monkeypatch.setattr(Pruner, "_copy", copy)
    *_, done = prune_backup(root.keys, str(root.dest), LAST)
    assert done.problems == ("a pack is damaged",) and list(root.dest.glob(f"packs/*/{failed[0]}"))
    assert root.check().problems == ()
    root.restore(at=second)
    assert root.contents() == wanted
    assert prune(root).problems == () and not list(root.dest.glob(f"packs/*/{failed[0]}"))


def test_nobody_prunes_beside_a_backup(root: Root) -> None:
    root.store(70)
    with root.open() as (disk, keyring):
        steps = node_backup(disk, keyring, str(root.dest), "full", RealEnv())
        next(steps)
        with pytest.raises(Locked):
            prune(root)
        list(steps)
    steps_of_prune = prune_backup(root.keys, str(root.dest), LAST)
    next(steps_of_prune)
    with pytest.raises(Locked):
        root.backup()
    with pytest.raises(Locked):
        list_backup(root.keys, str(root.dest))
    list(steps_of_prune)
    assert root.check().problems == ()


class Late(RealEnv):
    """The real machine with a clock that can be put forward."""

    def __init__(self) -> None:
        super().__init__()
        self.later_s = 0.0

    def now_s(self) -> float:
        return super().now_s() + self.later_s


def names_in(place: str) -> Iterator[str]:
    yield from place_at(place, RealEnv()).names("locks")


def test_marks_at_a_url_keep_a_prune_alone(tmp_path: Path) -> None:
    text, env = f"local://{tmp_path}/marks", Late()
    one, two = place_at(text, env), place_at(text, env)
    for first, second, fits in (
        (Use.WRITE, Use.WRITE, True), (Use.WRITE, Use.PRUNE, False), (Use.PRUNE, Use.WRITE, False),
        (Use.PRUNE, Use.PRUNE, False), (Use.PRUNE, Use.READ, True),
    ):  # fmt: skip
        with one.lock(first):
            if fits:
                with two.lock(second):
                    pass
            else:
                with pytest.raises(Locked), two.lock(second):
                    pass
        assert not list(names_in(text))
    with pytest.raises(Locked, match="stood still"), one.lock(Use.WRITE):  # the machine slept, say
        one.write("packs/aa/first", b"1")
        env.later_s += STALE_S / 2
        one.write("packs/aa/second", b"2")
        env.later_s += STALE_S / 2 + 1
        one.write("packs/aa/third", b"3")  # renewed in between: still its own
        env.later_s += STALE_S + 1
        with two.lock(Use.PRUNE):
            two.remove(["packs/aa/first", "packs/aa/never was"])
        one.write("packs/aa/fourth", b"4")
    assert sorted(one.names("packs")) == ["packs/aa/second", "packs/aa/third"]
    with pytest.raises(Locked, match="stood still"), one.lock(Use.WRITE):  # somebody whose clock is fast
        ahead = Late()
        ahead.later_s = env.later_s + STALE_S + 1
        with place_at(text, ahead).lock(Use.PRUNE):
            pass
    assert not list(names_in(text))


def test_a_backup_at_a_url_is_pruned(root: Root, tmp_path: Path) -> None:
    place = f"local://{tmp_path}/prune"
    root.backup(place)
    replace_half(root)
    root.backup(place)
    wanted = root.contents()
    with pytest.raises(NotFound):
        prune(root, place=place + "-not")
    assert not list(names_in(place + "-not"))
    assert prune(root, place=place).freed > 300_000
    assert len(snapshots(root, place)) == 1 and root.check(place).problems == ()
    assert prune(root, place=place).packs == 0
    shutil.rmtree(root.home / "blobs")
    root.restore(place=place)
    assert root.contents() == wanted


def test_two_machines_of_one_owner_share_a_place(root: Root, tmp_path: Path) -> None:
    other = Root(tmp_path / "other", root.dest)
    DataRoot.create(other.home, "abandon " * 23 + "art", None, RealEnv())
    other.store(1, 2, 300)
    other.backup()
    wanted = other.contents()
    root.backup()
    done = prune(root)
    assert [each.kept for each in done.snapshots].count("last") == 2 and len(done.snapshots) == 4
    assert root.check().problems == ()
    other.restore(at=next(each.snapshot for each in done.snapshots if each.kept and other_made(each, wanted, other)))
    assert other.contents() == wanted


def other_made(each: object, wanted: dict[bytes, bytes], other: Root) -> bool:
    """Whether this is the other machine's snapshot: it has fewer chunks."""
    reports = {report.snapshot: report for report in list_backup(other.keys, str(other.dest))}
    return reports[each.snapshot].chunks == 3  # type: ignore[attr-defined]
