"""Data roots: making one, opening one, sealing its secrets anew. Never imports the network, so it is quick."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from inos.core.env import Env, RealEnv
from inos.core.errors import BadInput, InosError, from_wire
from inos.core.ids import OwnerId, PeerId
from inos.core.options import InitOptions, InitReport, RebuildReport
from inos.crypto.cocoon import Opener
from inos.crypto.phrase import new_phrase
from inos.node.disk import Disk, open_disk
from inos.node.identity import Identity, knows_its_mesh, load_identity
from inos.node.profiles import PROFILES, Quotas
from inos.state.capability import MAX_NAME_CHARS
from inos.store.database import Database
from inos.store.dataroot import DataRoot, Unlocked
from inos.store.rebuild import rebuild
from inos.store.settings import Settings

NAME_SETTING: Final = "node/name"
_PHRASE_BYTES: Final = 32
_LIKE_PEER_IDS: Final = "12D3KooW"


def _unseen(_report: InitReport) -> None:
    """Nobody is shown anything: the caller knows the phrase."""


def init_home(options: InitOptions, show: Callable[[InitReport], None] = _unseen) -> InitReport:
    """Make a data root; a new phrase is made unless one is given. `show` is given what the root will be before it comes
    to be: whatever happens then, no root is left whose phrase nobody saw."""
    env, name = RealEnv(), checked_node_name(options.name or host_name())
    phrase = options.phrase or new_phrase(env.token_bytes(_PHRASE_BYTES))
    shown: list[InitReport] = []

    def about_to(unlocked: Unlocked) -> None:
        owner = OwnerId(unlocked.keyring.owner_key().public_key)
        peer = PeerId.from_public_key(unlocked.node_key().public_key)
        shown.append(InitReport(str(options.home), str(owner), peer, name, "" if options.phrase else phrase))
        show(shown[0])

    try:
        root = DataRoot.create(options.home, phrase, options.passphrase, env, about_to=about_to)
        with opened_root(root, options.passphrase, env) as (disk, _):
            disk.settings.put({NAME_SETTING: name.encode()})
    except InosError as error:
        if not shown:
            raise
        raise _half_made(options, error) from None
    return shown[0]


def _half_made(options: InitOptions, error: InosError) -> InosError:
    """What went wrong after the phrase was shown."""
    if DataRoot(options.home).initialised():
        hint = "the data root is made, and its phrase is the one shown; put that right, then go on with: inos up"
        return from_wire(error.code, error.message, hint)
    unused = "" if options.phrase else "; the phrase shown is not in use"
    return from_wire(error.code, f"{error.message}{unused}", error.hint)


def checked_node_name(name: str) -> str:
    """`name`, if a node can have it. Raises BadInput."""
    if not (0 < len(name) <= MAX_NAME_CHARS and name.isprintable()):
        raise BadInput(
            f"not the name of a node: {name[:80]!r}",
            hint=f"choose one with --name: 1 to {MAX_NAME_CHARS} characters that can be printed",
        )
    if name.startswith(_LIKE_PEER_IDS):
        raise BadInput("a node's name must not look like a peer id", hint="choose another with --name")
    return name


def needs_passphrase(home: Path) -> bool:
    """Whether a passphrase opens this data root, as far as can be seen."""
    return DataRoot(home).opener() is Opener.PASSPHRASE


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
