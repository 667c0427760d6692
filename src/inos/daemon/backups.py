"""Backups behind the command line and the API: places, keys, data roots. Never imports the network."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

from inos import __version__
from inos.backup.check import Checker
from inos.backup.choosing import ID_DIGITS, chosen, chosen_to_read, peer_of
from inos.backup.keeping import Moment, kept_for
from inos.backup.make import Maker, Source, Steps
from inos.backup.one_object import object_steps
from inos.backup.place import Use
from inos.backup.prune import Pruner
from inos.backup.remote import place_at, refuse_below
from inos.backup.repository import Repository
from inos.backup.restore import Restorer
from inos.backup.sealing import BackupKeys
from inos.backup.snapshot import Snapshot
from inos.core.backups import (
    SPOOL,
    CheckReport,
    KeepRules,
    KeptSnapshot,
    KeySource,
    PruneReport,
    RestoreReport,
    SnapshotReport,
)
from inos.core.env import Env, RealEnv
from inos.core.errors import BadInput, Conflict, Corrupt, NotFound, WrongPassphrase
from inos.core.ids import PeerId
from inos.crypto.derive import Keyring
from inos.crypto.phrase import master_from_phrase
from inos.daemon.roots import NAME_SETTING, opened_root
from inos.messages.on_disk import FOLDER as MESSAGES
from inos.messages.on_disk import AgentsAtRest
from inos.node.disk import Disk
from inos.store.dataroot import DataRoot, write_keys
from inos.store.filesystem import REAL_FILES
from inos.store.salvage import OpenedDamaged
from inos.store.swap import begin_swap, finish_swap, new_folder, swap_pending


def node_backup(disk: Disk, keyring: Keyring, place: str, kind: Literal["full", "mesh"], env: Env) -> Steps:
    """Back up the node that has `disk` open, running or not; steps as `make.Maker` says."""
    refuse_below(disk.root, place, env, but=SPOOL if kind == "mesh" else None)
    with _opened(place, keyring, env, Use.WRITE) as repository:
        name = (disk.settings.get(NAME_SETTING) or b"").decode()
        node_file = DataRoot(disk.root).node_file.read_text()
        source = Source(disk.root, disk.database, keyring.database_key(), disk.chunks, name, node_file, __version__)
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
        yield from _pruned(repository, found, kept_for(moments, rules, None, _now_ms(env)), dry_run=dry_run)


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
    if len(text) < ID_DIGITS:
        raise BadInput(
            f"not the id of a snapshot: {text!r}", hint=f"give {ID_DIGITS} digits of it: inos backup list DEST"
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


def restore_home(keys: KeySource, place: str, at: str, node: str = "") -> Steps:
    """Put a snapshot in the place of what the data root holds; which, says `choosing.chosen`. A data root that is there
    keeps its cocoon; else one is made from the phrase, sealed with the passphrase. The last step is a RestoreReport.
    Raises Locked while a node runs on it, or an agent with its messages there; Conflict for a data root of another
    phrase."""
    env, root = RealEnv(), DataRoot(keys.home)
    there = root.initialised()
    if keys.phrase is not None:
        master_from_phrase(keys.phrase)  # a wrong word is told before anything is made
    elif not there and not swap_pending(root.path):
        raise NotFound(
            f"there is no data root at {root.path}, so the phrase is needed", hint="inos restore SRC --phrase -"
        )
    with ExitStack() as at_rest, root.lock_for_restore():
        fresh = not root.initialised()
        if not fresh and not there:
            _opened_as_asked(root, keys)
        keyring = _keyring(keys)
        here = _node_there(root, keyring, keys)
        agents = at_rest.enter_context(AgentsAtRest(root.path / MESSAGES))
        with _opened(place, keyring, env) as repository:
            name, snapshot = chosen(dict(repository.snapshots()), at, node, here, _now_ms(env))
            new = new_folder(root.path)
            restorer = Restorer(repository, snapshot, root.path, new)
            yield from restorer.steps(keyring.database_key(), env)
        put, away = restorer.names()
        if fresh and keys.phrase is not None:
            put += write_keys(new, master_from_phrase(keys.phrase), keys.passphrase, env)
        agents.refuse_new()
        begin_swap(root.path, put, away, agents.along())  # from here on no agent begins
        finish_swap(root.path)
    size = snapshot.size
    yield RestoreReport(
        size, size, size, snapshot.damaged, name, finished=True, node_name=snapshot.node_name, peer=peer_of(snapshot)
    )


def _opened_as_asked(root: DataRoot, keys: KeySource) -> None:
    """Refuse to go on where an earlier restore, finished only now, made a data root that opens in another way."""
    try:
        root.keyring(keys.passphrase)
    except (WrongPassphrase, NotFound):
        raise Conflict(
            f"an earlier restore into {root.path} was finished just now; it opens as was said then, not as now",
            hint="inos up; to change what opens it: inos passphrase; to restore once more: the same command again",
        ) from None


def _node_there(root: DataRoot, keyring: Keyring, keys: KeySource) -> str:
    """The peer id of the node that the data root is, "" when there is none or it does not say. Raises Conflict when it
    is not one of the keyring's owner."""
    try:
        node = root.node_record()
        ours = node.belongs_to(keyring)
        peer = str(PeerId.from_public_key(node.public_key))
    except (NotFound, Corrupt):
        peer, ours = "", True
        if root.initialised():  # the cocoon that stays must be of the same phrase
            ours = _keyring(replace(keys, phrase=None)).owner_key().public_key == keyring.owner_key().public_key
        else:
            _refuse_foreign_database(root, keyring)
    if not ours:
        raise Conflict(f"{root.path} belongs to another phrase", hint="restore into another folder: --home DIR")
    return peer


def _refuse_foreign_database(root: DataRoot, keyring: Keyring) -> None:
    """Where nothing else says whose a folder is, its database does: it opens with the keyring's key, or is not ours to
    replace. Raises Conflict."""
    if not root.database.exists():
        return
    try:
        with OpenedDamaged(root.database, keyring.database_key(), REAL_FILES):
            pass
    except Corrupt:
        raise Conflict(
            f"{root.database} does not open with this phrase: it belongs to another one, or is damaged",
            hint="move it away if it is not needed, or restore into another folder: --home DIR",
        ) from None


def restore_object(keys: KeySource, place: str, at: str, target: str, out: Path, node: str = "") -> Steps:
    """Write one object of a snapshot to the file `out`; no data root is touched. Which snapshot, says
    `choosing.chosen_to_read`."""
    if out.is_dir():
        raise BadInput(f"{out} is a folder", hint="name the file to write: -o FILE")
    env, keyring = RealEnv(), _keyring(keys)
    with _opened(place, keyring, env) as repository:
        here = _peer_there(DataRoot(keys.home))
        _, snapshot = chosen_to_read(dict(repository.snapshots()), at, node, here, _now_ms(env))
        yield from object_steps(repository, snapshot, keyring.database_key(), env, target, out)


def _peer_there(root: DataRoot) -> str:
    """The peer id that a data root has, "" when it does not say."""
    with suppress(NotFound, Corrupt):
        return str(PeerId.from_public_key(root.node_record().public_key))
    return ""


def _now_ms(env: Env) -> int:
    return int(env.now_s() * 1000)


def _report(name: str, snapshot: Snapshot | Corrupt) -> SnapshotReport:
    if isinstance(snapshot, Corrupt):
        return SnapshotReport(name, 0, "", "", 0, 0, 0, snapshot.message)
    return SnapshotReport(
        name, snapshot.created_ms, snapshot.node_name, snapshot.kind, snapshot.chunks.count, snapshot.size,
        snapshot.damaged, whole=snapshot.messages is not None,
    )  # fmt: skip


def _keyring(keys: KeySource) -> Keyring:
    if keys.phrase is not None:
        return Keyring(master_from_phrase(keys.phrase))
    return DataRoot(keys.home).keyring(keys.passphrase)


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
