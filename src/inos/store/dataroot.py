"""The data root: one folder that is one node, open to nobody else (0700, key files 0600).

    cocoon      the sealed master secret        lock       held while a node runs, with its pid
    keyfile     opens the cocoon when there     api.json   address and token of the running node
                is no passphrase                inos.db    the encrypted database, and
    node.json   which node this is              inos.db.spare, an older copy of it
    blobs/  staging/  components/  messages/  config/

`cocoon` is written last: a folder without one is not a data root, whatever else a crash left in it, and can be
initialised again. That also is the way back from a lost cocoon or passphrase: move the cocoon away and initialise with
the seed phrase; node.json, database and chunks then serve on. Everything here blocks, and is called before a node
starts or without one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inos.core.endpoint import (
    ENDPOINT_FILE,
    LOCK_FILE,
    Endpoint,
    remove_endpoint,
    write_endpoint,
)
from inos.core.env import Env
from inos.core.errors import BadInput, Conflict, Corrupt, NotFound, WrongPassphrase
from inos.crypto.cocoon import (
    COCOON_BYTES,
    DEFAULT_COST,
    KEYFILE_COST,
    Argon2Cost,
    Opener,
    cocoon_opener,
    open_cocoon,
    rewrap_cocoon,
    seal_cocoon,
)
from inos.crypto.derive import NODE_NONCE_BYTES, Keyring, MasterSecret
from inos.crypto.phrase import master_from_phrase
from inos.crypto.signing import SigningKey
from inos.store.node_file import NodeRecord, read_node_file
from inos.store.previous import is_previous
from inos.store.private_files import (
    SPARE_SUFFIX,
    explained,
    make_private_folder,
    open_to_others,
    read_private,
    remove_folders,
    write_private,
)
from inos.store.root_lock import hold_lock
from inos.store.swap import NEW_FOLDER, RESTORE_FOLDER, finish_swap, swap_pending

log = logging.getLogger(__name__)

_KEYFILE_BYTES: Final = 32
# Room for what a newer release may add, so that it is told apart from damage.
_MAX_COCOON_BYTES: Final = COCOON_BYTES + (64 << 10)
_OWN_NAMES: Final = frozenset(
    (
        "cocoon",
        "keyfile",
        "node.json",
        LOCK_FILE,
        ENDPOINT_FILE,
        "inos.db",
        "inos.db-wal",
        "inos.db-shm",
        "inos.db.spare",
        "inos.db.begun",
        "blobs",
        "staging",
        "components",
        "backup",
        "messages",
        "config",
        RESTORE_FOLDER,
    )
)
_MOVED_ASIDE: Final = "inos.db.lost-"
# A disk of one's own, mounted as the data root, has this folder from the start.
_HARMLESS_NAMES: Final = frozenset(("lost+found",))


@dataclass(frozen=True, slots=True)
class Unlocked:
    """What an opened data root gives: the owner's keys, and which of their nodes this is."""

    keyring: Keyring
    node_nonce: bytes

    def node_key(self) -> SigningKey:
        """The key of this node."""
        return self.keyring.node_key(self.node_nonce)


def _nobody(_unlocked: Unlocked) -> None:
    """Nobody has to be told."""


class DataRoot:
    """A data root at `path`. Making the object touches nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cocoon = path / "cocoon"
        self.keyfile = path / "keyfile"
        self.node_file = path / "node.json"
        self.lock_file = path / LOCK_FILE
        self.database = path / "inos.db"
        self.blobs = path / "blobs"
        self.staging = path / "staging"

    @classmethod
    def create(
        cls,
        path: Path,
        phrase: str,
        passphrase: str | None,
        env: Env,
        cost: Argon2Cost = DEFAULT_COST,
        *,
        about_to: Callable[[Unlocked], None] = _nobody,
    ) -> DataRoot:
        """Initialise `path` for the owner of `phrase`. Without a passphrase a random keyfile opens the cocoon, and file
        permissions are all that protects it. Whatever fails, there is a complete data root or none; `about_to` is told
        of it right before it comes to be. Raises BadInput (phrase, passphrase, path), Conflict (a data root already, or
        a folder of something else), Locked, Refused, StorageFull."""
        root = cls(path)
        root._check_vacant()
        master = master_from_phrase(phrase)
        keyfile, cocoon = _sealed(master, passphrase, env, cost)
        made = make_private_folder(path)
        try:
            ours = [file for file in (root.node_file, root.keyfile, root.lock_file) if not file.exists()]
            with hold_lock(root.lock_file), root._undoing(ours):
                root._check_vacant()
                node = root._node_record(Keyring(master), env)
                write_private(root.node_file, node.encode())
                if keyfile is not None:
                    write_private(root.keyfile, keyfile.encode())
                about_to(Unlocked(Keyring(master), node.nonce))
                write_private(root.cocoon, cocoon)
                if keyfile is None:
                    root._drop_keyfile()
        except BaseException:
            remove_folders(made)
            raise
        return root

    def initialised(self) -> bool:
        """Whether there is a data root here. Raises Refused when that cannot be seen."""
        with explained("look into", self.path):
            return self.cocoon.exists()

    def opener(self) -> Opener | None:
        """What kind of secret opens this data root, as it is once a swap that was begun is done; None where no cocoon
        is. Raises Refused, Corrupt, NewerFormat."""
        coming = self.path / RESTORE_FOLDER / NEW_FOLDER / self.cocoon.name
        for place in (coming, self.cocoon) if swap_pending(self.path) else (self.cocoon,):
            if place.exists():
                return cocoon_opener(read_private(place, _MAX_COCOON_BYTES, secret=True))
        return None

    def unlock(self, passphrase: str | None = None) -> Unlocked:
        """Open the cocoon. Raises NotFound (no data root), BadInput (not a folder), Refused (unreadable, or key files
        others may read), WrongPassphrase, Corrupt, NewerFormat."""
        keyring = self.keyring(passphrase)
        node = read_node_file(self.node_file)
        if not node.belongs_to(keyring):
            raise Corrupt(
                f"{self.node_file} and the cocoon do not belong together",
                hint="put back the two files that were made by one 'inos init'",
            )
        return Unlocked(keyring, node.nonce)

    def keyring(self, passphrase: str | None = None) -> Keyring:
        """The owner's keys from the cocoon alone, whichever node this is. Raises as `unlock`."""
        cocoon = self._read_cocoon()
        return Keyring(open_cocoon(cocoon, self._secret(cocoon, passphrase)))

    def node_record(self) -> NodeRecord:
        """Which node this is, without opening the cocoon. Raises NotFound, Corrupt, NewerFormat."""
        return read_node_file(self.node_file)

    def change_passphrase(self, old: str | None, new: str | None, env: Env, cost: Argon2Cost = DEFAULT_COST) -> None:
        """Let `new` open the cocoon from now on; None stands for a keyfile. The secret inside is not sealed anew and no
        data is touched. The node must not run. Raises what `unlock` and `lock` raise."""
        with self.lock():
            cocoon = self._read_cocoon()
            secret = self._secret(cocoon, old)
            if new is None:
                self._to_keyfile(cocoon, secret, env)
                return
            write_private(self.cocoon, rewrap_cocoon(cocoon, secret, new, env.token_bytes, cost))
            self._drop_keyfile()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only process at work on this data root. Raises Locked, naming the other one, and what looking into a
        data root raises."""
        if swap_pending(self.path):
            with hold_lock(self.lock_file):
                finish_swap(self.path)
        self._check_home()
        with hold_lock(self.lock_file):
            if open_to_others(self.path):
                log.warning("others may look into %s: run chmod 700 on it", self.path)
            self.remove_api_file()  # left by a node that was killed: nobody answers there
            try:
                yield
            finally:
                self.remove_api_file()

    @contextmanager
    def lock_for_restore(self) -> Iterator[None]:
        """As `lock`, also where there is no data root yet; what was made for that goes again when what is inside fails
        with nothing built. Raises Conflict for a folder of something else."""
        if self.initialised() or swap_pending(self.path):
            with self.lock():
                yield
            return
        self._check_vacant()
        made = make_private_folder(self.path)
        try:
            ours = [] if self.lock_file.exists() else [self.lock_file]
            with hold_lock(self.lock_file), self._undoing(ours):
                yield
        except BaseException:
            remove_folders(made)
            raise

    def write_api_file(self, endpoint: Endpoint) -> None:
        """Tell local programs where the running node's API listens. Only under `lock`."""
        with explained("write", self.path / ENDPOINT_FILE):
            write_endpoint(self.path, endpoint)

    def remove_api_file(self) -> None:
        """Withdraw it; fine when there is none."""
        with explained("remove", self.path / ENDPOINT_FILE):
            remove_endpoint(self.path)

    def _check_home(self) -> None:
        with explained("look into", self.path):
            if self.path.exists() and not self.path.is_dir():
                raise BadInput(f"{self.path} is not a folder", hint="give a folder with --home or INOS_HOME")
            if not self.initialised():
                raise NotFound(f"there is no data root at {self.path}", hint="make one with: inos init")

    def _check_vacant(self) -> None:
        with explained("look into", self.path):
            if not self.path.exists():
                return
            if not self.path.is_dir():
                raise BadInput(f"{self.path} is not a folder", hint="give a folder with --home or INOS_HOME")
            if self.initialised():
                raise Conflict(f"{self.path} is a data root already", hint="use it, or give another with --home")
            names = {entry.name.removesuffix(SPARE_SUFFIX) for entry in self.path.iterdir()}
        foreign = sorted(
            name
            for name in names - _OWN_NAMES - _HARMLESS_NAMES
            if not (is_previous(name) or name.startswith(_MOVED_ASIDE))
        )
        if foreign:
            raise Conflict(f"{self.path} holds other things: {foreign[0]!r}", hint="give an empty folder with --home")

    def _node_record(self, keyring: Keyring, env: Env) -> NodeRecord:
        """The record of a data root that only lost its cocoon, so that it stays the node it was; else a new one."""
        with suppress(Corrupt, NotFound):
            node = read_node_file(self.node_file)
            if node.belongs_to(keyring):
                return node
            if self.database.exists() or self.blobs.exists():
                raise Conflict(f"{self.path} holds data of another phrase", hint="give that phrase, or another --home")
        return NodeRecord.of(keyring, env.token_bytes(NODE_NONCE_BYTES))

    def _drop_keyfile(self) -> None:
        """One of an earlier cocoon, which opens nothing any more."""
        with explained("remove", self.keyfile):
            self.keyfile.unlink(missing_ok=True)

    @contextmanager
    def _undoing(self, files: Sequence[Path]) -> Iterator[None]:
        """Remove `files` again when what is inside fails before there is a cocoon."""
        try:
            yield
        except BaseException:
            with suppress(OSError):
                if not self.cocoon.exists():
                    for file in files:
                        file.unlink(missing_ok=True)
            raise

    def _to_keyfile(self, cocoon: bytes, secret: str, env: Env) -> None:
        if cocoon_opener(cocoon) is Opener.KEYFILE:
            raise BadInput("this data root has no passphrase already", hint="give a new passphrase to set one")
        keyfile = env.token_bytes(_KEYFILE_BYTES).hex()
        wrapped = rewrap_cocoon(cocoon, secret, keyfile, env.token_bytes, KEYFILE_COST, opener=Opener.KEYFILE)
        # The cocoon says which of the two opens it, so a crash between these writes leaves the passphrase in force.
        write_private(self.keyfile, keyfile.encode())
        write_private(self.cocoon, wrapped)

    def _read_cocoon(self) -> bytes:
        self._check_home()
        return read_private(self.cocoon, _MAX_COCOON_BYTES, secret=True)

    def _secret(self, cocoon: bytes, passphrase: str | None) -> str:
        """What is to open the cocoon: the passphrase given, or the keyfile's content."""
        if cocoon_opener(cocoon) is Opener.KEYFILE:
            if passphrase is not None:
                raise WrongPassphrase(f"{self.path} is opened by its keyfile, not by a passphrase", hint="give none")
            return self._read_keyfile()
        if passphrase is None:
            raise WrongPassphrase(
                f"{self.path} is opened by a passphrase, and none was given",
                hint="set INOS_PASSPHRASE or give --passphrase-file",
            )
        return passphrase

    def _read_keyfile(self) -> str:
        if not self.keyfile.exists():
            raise NotFound(
                f"{self.keyfile} is gone, and nothing else opens the cocoon",
                hint="restore it from a copy, or move the cocoon away and run: inos init --no-passphrase --phrase -",
            )
        return read_private(self.keyfile, 2 * _KEYFILE_BYTES, secret=True).decode("ascii", "replace")


def write_keys(folder: Path, master: MasterSecret, passphrase: str | None, env: Env) -> list[str]:
    """Cocoon, and keyfile where there is no passphrase, in `folder`; their names, in the order they take effect."""
    keyfile, cocoon = _sealed(master, passphrase, env, DEFAULT_COST)
    if keyfile is not None:
        write_private(folder / "keyfile", keyfile.encode())
    write_private(folder / "cocoon", cocoon)
    return ["cocoon"] if keyfile is None else ["keyfile", "cocoon"]


def _sealed(master: MasterSecret, passphrase: str | None, env: Env, cost: Argon2Cost) -> tuple[str | None, bytes]:
    """Keyfile content, when that is to open it, and cocoon."""
    if passphrase is not None:
        return None, seal_cocoon(master, passphrase, env.token_bytes, cost)
    keyfile = env.token_bytes(_KEYFILE_BYTES).hex()
    return keyfile, seal_cocoon(master, keyfile, env.token_bytes, KEYFILE_COST, opener=Opener.KEYFILE)
