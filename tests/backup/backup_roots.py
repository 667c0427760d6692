"""Data roots with something in them, backed up and restored by the code that the command runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from inos.core.backups import CheckReport, KeySource
from inos.core.env import RealEnv
from inos.core.messages.message import Draft, Message
from inos.core.reports import BackupReport
from inos.crypto.derive import Keyring
from inos.daemon.backups import backup_offline, check_backup, node_backup, restore_home
from inos.daemon.roots import opened_root
from inos.messages.cache import AgentCache
from inos.messages.cache_folder import open_cache
from inos.node.disk import Disk
from inos.objects.chunks import seal_chunk
from inos.store.dataroot import DataRoot

PHRASE = "abandon " * 23 + "art"
OTHER = "legal winner thank year wave sausage worth useful " * 2 + "legal winner thank year wave sausage worth title"
LARGE = 150_000


def plain(number: int, size: int = LARGE) -> bytes:
    """Content that does not shrink, another for each number."""
    import random

    return random.Random(number).randbytes(size)


@dataclass(frozen=True)
class Root:
    """A data root without passphrase, and a place for its backup."""

    home: Path
    dest: Path

    @property
    def keys(self) -> KeySource:
        return KeySource(self.home)

    @contextmanager
    def open(self) -> Iterator[tuple[Disk, Keyring]]:
        root = DataRoot(self.home)
        with root.lock(), opened_root(root, None, RealEnv()) as (disk, _):
            yield disk, root.unlock().keyring

    def store(self, *numbers: int, size: int = LARGE) -> None:
        with self.open() as (disk, keyring):
            secret = keyring.convergence_secret()
            disk.chunks.put_many([seal_chunk(plain(number, size), secret).piece for number in numbers])

    def contents(self) -> dict[bytes, bytes]:
        """Every chunk, read and proven."""
        with self.open() as (disk, _):
            return {bytes(address): disk.chunks.get(address) for address in disk.chunks.addresses()}

    def backup(self, place: str = "") -> BackupReport:
        *_, last = backup_offline(self.home, None, place or str(self.dest))
        assert last.finished
        return last

    def check(self, place: str = "", percent: float = 100) -> CheckReport:
        *_, last = check_backup(self.keys, place or str(self.dest), percent)
        assert last.finished
        return last

    def restore(self, at: str = "", place: str = "", keys: KeySource | None = None) -> BackupReport:
        *_, last = restore_home(keys or self.keys, place or str(self.dest), at)
        assert last.finished
        return last


def made(folder: Path, phrase: str = PHRASE) -> Root:
    """A data root with some chunks in files and some in the database."""
    DataRoot.create(folder / "home", phrase, None, RealEnv())
    root = Root(folder / "home", folder / "dest")
    root.store(*range(6))
    root.store(*range(100, 104), size=900)
    return root


def folder(root: Root, agent: str) -> Path:
    return root.home / "messages/agents" / agent


def write(root: Root, agent: str, *texts: str) -> None:
    with open_cache(folder(root, agent), agent, RealEnv()) as cache:
        append(cache, *texts)


def append(cache: AgentCache, *texts: str) -> list[Message]:
    return cache.append_many([Draft(agent=cache.agent, content={"text": text}) for text in texts])


def text_of(message: Message) -> str:
    assert isinstance(message.content, dict)
    return str(message.content["text"])


def pending(root: Root, agent: str) -> list[str]:
    """What goes out next, in order."""
    with open_cache(folder(root, agent), agent, RealEnv()) as cache:
        assert cache.check() == []
        return [text_of(Message.decode(each.encoded)) for each in cache.outbox.take()]


__all__ = ["OTHER", "PHRASE", "Root", "append", "folder", "made", "node_backup", "pending", "plain", "text_of", "write"]
