"""The databases of messages in a backup: proving them for a check, and putting them beside those that are there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from inos.backup.entries import FILE, Entry
from inos.backup.repository import Repository
from inos.backup.snapshot import Part
from inos.backup.trees import entries_of, folders_below, write_file
from inos.core.env import Env
from inos.core.errors import Corrupt, NotFound
from inos.messages.cache_folder import KEY_FILE
from inos.messages.on_disk import CORPUS_FILE, FOLDER, is_database, prove
from inos.messages.reunion import bring_together, renew
from inos.store.filesystem import REAL_FILES
from inos.store.private_files import explained
from inos.store.settings import Settings

_OTHER: Final = "restore another snapshot: --at"


Proven = set[tuple[str, tuple[bytes, ...]]]
"""What was found good: paths and what is there. Of many snapshots most databases are the same."""


def prove_messages(repository: Repository, part: Part, root_key: bytes, env: Env, proven: Proven) -> None:
    """Build each database of a snapshot that is not `proven`, with the key beside it, and read it from end to end.
    Raises Corrupt."""
    keys = {_folder(entry): entry for entry in entries_of(repository, part) if _name(entry) == KEY_FILE}
    for entry in entries_of(repository, part):
        key = keys.get(_folder(entry))
        seen = entry.path, entry.lists + (key.lists if key is not None else ())
        if entry.kind == FILE and is_database(_name(entry)) and seen not in proven:
            with tempfile.TemporaryDirectory(prefix="inos-check-") as folder:
                path = Path(folder, FOLDER, entry.path)
                path.parent.mkdir(mode=0o700, parents=True)
                for each in (entry, key):
                    for _ in write_file(repository, each, path.with_name(_name(each))) if each is not None else ():
                        pass
                _prove(path, entry.path, root_key, env)
            proven.add(seen)


def _prove(path: Path, name: str, root_key: bytes, env: Env) -> None:
    try:
        prove(path, root_key, env)
    except (Corrupt, NotFound) as error:
        raise Corrupt(f"{FOLDER}/{name} in the backup: {error.message}", hint=_OTHER) from None


def _name(entry: Entry) -> str:
    return PurePosixPath(entry.path).name


def _folder(entry: Entry) -> PurePosixPath:
    return PurePosixPath(entry.path).parent


def settle_messages(new: Path, present: Path, root_key: bytes, settings: Settings, env: Env) -> Iterator[None]:
    """Prove what was brought into the folder of messages `new`, give it what `present` has beyond it, and make its
    corpus one that the mesh has not met; synced. Raises Corrupt, Conflict."""
    for path in sorted(path for path in new.rglob("*.db") if not path.is_symlink()):
        _prove(path, path.relative_to(new).as_posix(), root_key, env)
        yield
    for _ in bring_together(new, present, root_key, env):
        yield
    if (new / CORPUS_FILE).exists() and not (new / CORPUS_FILE).is_symlink():
        renew(new / CORPUS_FILE, root_key, settings, env)
    with explained("sync", new):
        for folder in folders_below(new):
            REAL_FILES.sync_folder(folder)
