"""Backups behind the command line and the API: places, keys, data roots. Never imports the network."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from inos import __version__
from inos.backup.check import Checker
from inos.backup.keeping import Moment, kept_for
from inos.backup.make import Maker, Source, Steps
from inos.backup.one_object import object_steps
from inos.backup.place import Use
from inos.backup.prune import Pruner
from inos.backup.remote import place_at
from inos.backup.repository import Repository
from inos.backup.restore import Restorer
from inos.backup.sealing import BackupKeys
from inos.backup.snapshot import Snapshot
from inos.core.backups import CheckReport, KeepRules, KeptSnapshot, KeySource, PruneReport, SnapshotReport
from inos.core.env import Env, RealEnv
from inos.core.errors import BadInput, Conflict, Corrupt, NotFound
from inos.core.reports import BackupReport
from inos.crypto.derive import Keyring
from inos.crypto.phrase import master_from_phrase
from inos.daemon.roots import NAME_SETTING, opened_root
from inos.node.disk import Disk
from inos.store.dataroot import DataRoot, write_keys
from inos.store.swap import begin_swap, finish_swap, new_folder, swap_pending

_ID_DIGITS: Final = 8  # fewer would be taken for a year


def node_backup(disk: Disk, keyring: Keyring, place: str, kind: Literal["full", "mesh"], env: Env) -> Steps:
    """Back up the node that has `disk` open, running or not; steps as `make.Maker` says."""
    with _opened(place, keyring, env, Use.WRITE) as repository:
        name = (disk.settings.get(NAME_SETTING) or b"").decode()
        node_file = DataRoot(disk.root).node_file.read_text()
        source = Source(disk.root, disk.database, disk.chunks, name, node_file, __version__)
        yield from Maker(source, repository, kind, env).steps()


def backup_offline(home: Path, passphrase: str | None, place: str) -> Steps:
    """Back up a data root that no node runs on."""
    env, root = RealEnv(), DataRoot(home)
    with root.lock():
        keyring = root.unlock(passphrase).keyring
        with opened_root(root, passphrase, env) as (disk, _):
            yield from node_backup(disk, keyring, place, "full", env)


def list_backup(keys: KeySource, place: str) -> list[SnapshotReport]:
    """The snapshots of a backup, oldest first; those that cannot be read at the end."""
    with _opened(place, _keyring(keys), RealEnv()) as repository:
        found = [_report(name, snapshot) for name, snapshot in repository.snapshots()]
    return sorted(found, key=lambda report: (bool(report.problem), report.created_ms))


def check_backup(keys: KeySource, place: str, percent: float) -> Generator[CheckReport, None, None]:
    """Prove that a backup would restore; see `check.Checker`."""
    env, keyring = RealEnv(), _keyring(keys)
    with _opened(place, keyring, env) as repository:
        yield from Checker(repository, keyring.database_key(), env, percent).steps()


def prune_backup(
    keys: KeySource, place: str, rules: KeepRules, *, dry_run: bool = False
) -> Generator[PruneReport, None, None]:
    """Remove the snapshots that no rule keeps, and free what only they needed. The last report is `finished`."""
    env, keyring = RealEnv(), _keyring(keys)
    with _opened(place, keyring, env, Use.READ if dry_run else Use.PRUNE) as repository:
        found = dict(repository.snapshots())
        for name, snapshot in found.items():
            if isinstance(snapshot, Corrupt):
                raise Conflict(snapshot.message, hint=f"if it is not needed: inos backup forget DEST {name[:12]}")
        good = {name: snapshot for name, snapshot in found.items() if isinstance(snapshot, Snapshot)}
        moments = [Moment(name, snapshot.created_ms, snapshot.node_file) for name, snapshot in good.items()]
        yield from _pruned(repository, found, kept_for(moments, rules, None), dry_run=dry_run)


def forget_snapshots(
    keys: KeySource, place: str, ids: Sequence[str], *, dry_run: bool = False
) -> Generator[PruneReport, None, None]:
    """Remove the snapshots whose ids begin so, damaged ones too, and free what only they needed. Raises NotFound,
    BadInput for what several ids begin with."""
    env, keyring = RealEnv(), _keyring(keys)
    with _opened(place, keyring, env, Use.READ if dry_run else Use.PRUNE) as repository:
        found = dict(repository.snapshots())
        gone = {_the_one(found, text) for text in ids}
        kept = {name: ("not named",) for name in found if name not in gone}
        for name in kept:
            if isinstance(snapshot := found[name], Corrupt):
                raise Conflict(snapshot.message, hint=f"forget it as well: inos backup forget DEST {name[:12]} …")
        yield from _pruned(repository, found, kept, dry_run=dry_run)


def _the_one(found: Mapping[str, object], text: str) -> str:
    if len(text) < _ID_DIGITS:
        raise BadInput(
            f"not the id of a snapshot: {text!r}", hint=f"give {_ID_DIGITS} digits of it: inos backup list DEST"
        )
    matching = [name for name in found if name.startswith(text)]
    if len(matching) > 1:
        raise BadInput(f"{len(matching)} snapshots have an id that begins with {text}", hint="give more digits of it")
    if not matching:
        raise NotFound(f"the backup has no snapshot {text}", hint="see which there are: inos backup list DEST")
    return matching[0]


def _pruned(
    repository: Repository,
    found: Mapping[str, Snapshot | Corrupt],
    kept: Mapping[str, Sequence[str]],
    *,
    dry_run: bool,
) -> Generator[PruneReport, None, None]:
    staying = [snapshot for name, snapshot in found.items() if name in kept and isinstance(snapshot, Snapshot)]
    pruner = Pruner(repository, staying, found.keys() - kept.keys())
    last = pruner.estimate()
    if not dry_run:
        for last in pruner.steps():
            yield PruneReport(last.done, last.total)
    shown = (
        KeptSnapshot(each.snapshot, each.created_ms, each.node_name, ", ".join(kept.get(each.snapshot, ())))
        for each in (_report(name, snapshot) for name, snapshot in found.items())
    )
    snapshots = tuple(sorted(shown, key=lambda each: each.created_ms))
    yield PruneReport(
        last.done, last.total, snapshots, last.packs, last.freed, last.problems, dry_run=dry_run, finished=True
    )


def restore_home(keys: KeySource, place: str, at: str) -> Steps:
    """Put a snapshot in the place of what the data root holds. A data root that is there keeps its cocoon; else one is
    made from the phrase, sealed with the passphrase. Raises Locked while a node runs on it."""
    env, root = RealEnv(), DataRoot(keys.home)
    if not root.initialised() and not swap_pending(root.path) and keys.phrase is None:
        raise NotFound(
            f"there is no data root at {root.path}, so the phrase is needed", hint="inos restore SRC --phrase -"
        )
    with root.lock_for_restore():
        keyring = _keyring(keys)
        fresh = not root.initialised()
        if not fresh and keys.phrase is not None and not root.node_record().belongs_to(keyring):
            raise Conflict(f"{root.path} belongs to another phrase", hint="restore into another folder: --home DIR")
        with _opened(place, keyring, env) as repository:
            name, snapshot = _chosen(repository, at)
            new = new_folder(root.path)
            restorer = Restorer(repository, snapshot, root.path, new)
            yield from restorer.steps(keyring.database_key(), env)
        put, away = restorer.names()
        if fresh and keys.phrase is not None:
            put += write_keys(new, master_from_phrase(keys.phrase), keys.passphrase, env)
        begin_swap(root.path, put, away)
        finish_swap(root.path)
    size = snapshot.database.size + snapshot.chunks.size + snapshot.components.size
    yield BackupReport(size, size, size, snapshot.chunks.damaged, name, finished=True)


def restore_object(keys: KeySource, place: str, at: str, target: str, out: Path) -> Steps:
    """Write one object of a snapshot to the file `out`; no data root is touched."""
    if out.is_dir():
        raise BadInput(f"{out} is a folder", hint="name the file to write: -o FILE")
    env, keyring = RealEnv(), _keyring(keys)
    with _opened(place, keyring, env) as repository:
        _, snapshot = _chosen(repository, at)
        yield from object_steps(repository, snapshot, keyring.database_key(), env, target, out)


def _report(name: str, snapshot: Snapshot | Corrupt) -> SnapshotReport:
    if isinstance(snapshot, Corrupt):
        return SnapshotReport(name, 0, "", "", 0, 0, 0, snapshot.message)
    size = snapshot.database.size + snapshot.chunks.size + snapshot.components.size
    damaged = snapshot.chunks.damaged + snapshot.components.damaged
    return SnapshotReport(
        name, snapshot.created_ms, snapshot.node_name, snapshot.kind, snapshot.chunks.count, size, damaged
    )


def _keyring(keys: KeySource) -> Keyring:
    if keys.phrase is not None:
        return Keyring(master_from_phrase(keys.phrase))
    return DataRoot(keys.home).unlock(keys.passphrase).keyring


@contextmanager
def _opened(text: str, keyring: Keyring, env: Env, use: Use = Use.READ) -> Iterator[Repository]:
    place = place_at(text, env)
    owner = keyring.owner_key().public_key
    repository = Repository(place, BackupKeys(keyring.backup_secret()), owner, env.token_bytes)
    if use is Use.WRITE:
        repository.refuse_foreign()
    elif use is Use.PRUNE:
        repository.refuse_nothing()
    with place.lock(use):
        repository.open(create=use is Use.WRITE)
        yield repository


def _chosen(repository: Repository, at: str) -> tuple[str, Snapshot]:
    """The last snapshot, the last one at a time, or the one whose id begins with `at`."""
    found = list(repository.snapshots())
    good = [(snapshot.created_ms, name, snapshot) for name, snapshot in found if isinstance(snapshot, Snapshot)]
    if at and not (by_id := [each for each in good if len(at) >= _ID_DIGITS and each[1].startswith(at)]):
        until_ms = _time_ms(at)
        by_id = [each for each in good if each[0] <= until_ms]
    else:
        by_id = by_id if at else good
    if by_id:
        _, name, snapshot = max(by_id, key=lambda each: each[:2])
        return name, snapshot
    bad = next((snapshot for _, snapshot in found if isinstance(snapshot, Corrupt)), None)
    if bad is not None and not good:
        raise bad
    raise NotFound("the backup has no such snapshot", hint="see which there are: inos backup list SRC")


def _time_ms(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError):
        hint = "write 2026-01-31, 2026-01-31T18:00, or the first 8 digits of a snapshot's id"
        raise BadInput(f"not a time, nor a snapshot of this backup: {text!r}", hint=hint) from None
