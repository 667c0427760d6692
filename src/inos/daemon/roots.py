"""Data roots: making one, opening one, sealing its secrets anew. Never imports the network, so it is quick."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from inos.core.env import Env, RealEnv
from inos.core.options import InitOptions, InitReport
from inos.crypto.phrase import new_phrase
from inos.node.disk import Disk, open_disk
from inos.node.identity import Identity, load_identity
from inos.node.profiles import profile_named
from inos.store.dataroot import DataRoot

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


def change_passphrase(home: Path, old: str | None, new: str | None) -> None:
    """Seal the secrets anew; None stands for a data root without passphrase."""
    DataRoot(home).change_passphrase(old, new, RealEnv())


@contextmanager
def opened_root(
    root: DataRoot, passphrase: str | None, env: Env, profile: str = "heavy"
) -> Iterator[tuple[Disk, Identity]]:
    unlocked = root.unlock(passphrase)
    quota_bytes = profile_named(profile).quota_bytes
    with open_disk(root.path, unlocked.keyring.database_key(), quota_bytes, env) as disk:
        yield disk, load_identity(unlocked.keyring, unlocked.node_key(), disk.settings, env)


def host_name() -> str:
    return socket.gethostname().partition(".")[0][:63] or "node"
