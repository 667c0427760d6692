"""The folder of one agent's cache, for programs: who may open it, and with which key.

    cache.db      the encrypted database (and its log)      cache.key     its key, 32 bytes (0600)
    lock          held by the process that has it open

Needs no data root: it works on a machine where no node was ever set up. Losing the key loses what no hub has.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from inos.core.env import Env
from inos.core.errors import Corrupt, Locked
from inos.messages.cache import AgentCache, CacheLimits
from inos.store.database import KEY_BYTES
from inos.store.private_files import explained, make_private_folder, read_private, write_private
from inos.store.root_lock import hold_lock

DATABASE_FILE: Final = "cache.db"
KEY_FILE: Final = "cache.key"
LOCK_FILE: Final = "lock"


def agents_folder(home: Path) -> Path:
    """Where the caches of agents are, below a data root."""
    return home / "messages" / "agents"


@contextmanager
def open_cache(
    folder: Path,
    agent: str,
    env: Env,
    *,
    limits: CacheLimits | None = None,
    key: bytes | None = None,
    synced: bool = True,
    sends: bool = True,
) -> Iterator[AgentCache]:
    """The cache of `agent` in `folder`, made where there is none. Without `key` it has one of its own, kept beside it.
    Raises Locked when another process, or this one already, has it open; and as AgentCache does."""
    with explained("look into", folder):
        if not folder.exists():
            make_private_folder(folder)
    with _locked(folder, agent):
        own = key if key is not None else _own_key(folder, env)
        cache = AgentCache(folder / DATABASE_FILE, own, agent, env, limits=limits, synced=synced, sends=sends)
        try:
            if synced:
                cache.prepare_log()
            yield cache
        finally:
            cache.close()


@contextmanager
def _locked(folder: Path, agent: str) -> Iterator[None]:
    lock = hold_lock(folder / LOCK_FILE)
    try:
        lock.__enter__()
    except Locked as error:
        hint = f"one process at a time writes as {agent!r}: stop the other, or give this agent a name of its own"
        raise Locked(error.message, hint=hint) from None
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def _own_key(folder: Path, env: Env) -> bytes:
    path = folder / KEY_FILE
    with explained("look into", folder):
        there, begun = path.exists(), (folder / DATABASE_FILE).exists()
    if there:
        return read_key(folder)
    if begun:
        hint = "restore it from a copy, or move the folder away: what reached the hub is safe there"
        raise Corrupt(f"{path} is missing: without it nothing in {DATABASE_FILE} can be read", hint=hint)
    key = env.token_bytes(KEY_BYTES)
    write_private(path, key)
    return key


def read_key(folder: Path) -> bytes:
    """The key of the cache in `folder`. Raises NotFound, Corrupt, Refused where others may read it."""
    path = folder / KEY_FILE
    key = read_private(path, KEY_BYTES, secret=True)
    if len(key) != KEY_BYTES:
        raise Corrupt(f"{path} is damaged: {len(key)} of {KEY_BYTES} bytes", hint="restore it from a copy")
    return key
