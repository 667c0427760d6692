"""Data roots: making one, opening one, sealing its secrets anew. Never imports the network, so it is quick."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from inos.core.env import Env, RealEnv
from inos.core.options import InitOptions, InitReport, RebuildReport
from inos.crypto.phrase import new_phrase
from inos.node.disk import Disk, open_disk
from inos.node.identity import Identity, knows_its_mesh, load_identity
from inos.node.profiles import PROFILES, Quotas
from inos.store.database import Database
from inos.store.dataroot import DataRoot
from inos.store.rebuild import rebuild
from inos.store.settings import Settings

NAME_SETTING: Final = "node/name"
_PHRASE_BYTES: Final = 32


def init_home(options: InitOptions) -> InitReport:
    """Make a data root; a new phrase is made, and returned once, unless one is given."""
    env = RealEnv()
    phrase = options.phrase or new_phrase(env.token_bytes(_PHRASE_BYTES))
    root = DataRoot.create(options.home, phrase, options.passphrase, env)
    name = options.name or host_name()
    with opened_root(root, options.passphrase, env) as (disk, identity):
        disk.settings.put({NAME_SETTING: name.encode()})
    shown = "" if options.phrase else phrase
    return InitReport(str(root.path), str(identity.owner), identity.peer, name, shown)


def rebuild_home(home: Path, passphrase: str | None, progress: Callable[[int, int], None]) -> RebuildReport:
    """Make the database of a node that does not run sound again. Raises what `DataRoot.unlock` and `lock` raise."""
    env, root = RealEnv(), DataRoot(home)
    with root.lock():
        key = root.unlock(passphrase).keyring.database_key()
        built = rebuild(root.path, key, env, progress=progress)
        with closing(Database(root.database, key, env)) as database:
            mesh = knows_its_mesh(Settings(database))
    found = built.files
    return RebuildReport(
        str(home), built.base.value, built.moved, built.records, built.chunks,
        found.adopted, found.deleted, found.dropped, mesh, built.rows,
    )  # fmt: skip


def change_passphrase(home: Path, old: str | None, new: str | None) -> None:
    """Seal the secrets anew; None stands for a data root without passphrase."""
    DataRoot(home).change_passphrase(old, new, RealEnv())


@contextmanager
def opened_root(
    root: DataRoot, passphrase: str | None, env: Env, quotas: Quotas = PROFILES["heavy"].quotas
) -> Iterator[tuple[Disk, Identity]]:
    unlocked = root.unlock(passphrase)
    with open_disk(root.path, unlocked.keyring.database_key(), quotas, env) as disk:
        yield disk, load_identity(unlocked.keyring, unlocked.node_key(), disk.settings, env)


def host_name() -> str:
    return socket.gethostname().partition(".")[0][:63] or "node"
