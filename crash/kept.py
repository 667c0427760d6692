"""What a data root keeps besides database and chunks: messages of an agent, of the node and of a hub, and settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

from inos.core.env import Env
from inos.core.messages.ids import parse_id
from inos.core.messages.message import Draft, Message
from inos.core.messages.query import MessageQuery
from inos.crypto.hashing import blake3_digest
from inos.messages.cache import AgentCache
from inos.messages.cache_folder import agents_folder, open_cache
from inos.messages.on_disk import CORPUS_FILE, FOLDER, HELD_FOLDER
from inos.messages.sqlite_corpus import SqliteCorpus

_AGENT: Final = "crashed"
_SETTINGS: Final = "config/node.yaml"


@contextmanager
def _stores(home: Path, key: bytes, env: Env, *, make: bool) -> Iterator[tuple[list[AgentCache], list[SqliteCorpus]]]:
    """Those there are, or all of them."""
    held, corpus = home / FOLDER / HELD_FOLDER / f"{_AGENT}.db", home / FOLDER / CORPUS_FILE
    own = agents_folder(home) / _AGENT
    if make:
        held.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        caches, corpora = [], []
        if make or (own / "cache.db").exists():
            caches.append(stack.enter_context(open_cache(own, _AGENT, env)))
        if make or held.exists():
            caches.append(stack.enter_context(closing(AgentCache(held, key, _AGENT, env))))
        if make or corpus.exists():
            corpora.append(stack.enter_context(closing(SqliteCorpus(corpus, key, env))))
        yield caches, corpora


def keep(home: Path, key: bytes, env: Env, *texts: str) -> None:
    """Write these as messages of each kind, and the last one as the settings."""
    with _stores(home, key, env, make=True) as (caches, corpora):
        for cache in caches:
            cache.append_many([Draft(_AGENT, {"text": text}) for text in texts])
        for corpus in corpora:
            corpus.insert([_fixed(text) for text in texts], 1)
    (home / "config").mkdir(exist_ok=True)
    (home / _SETTINGS).write_text(texts[-1])


def _fixed(text: str) -> Message:
    number = int.from_bytes(text.encode()[:6], "big")
    return Draft(_AGENT, {"text": text}).written(parse_id(f"018cc251-f400-7000-8000-{number:012x}"), 1)


def kept(home: Path, key: bytes, env: Env) -> dict[str, str]:
    """All of it as facts. Raises AssertionError for what is damaged."""
    facts: dict[str, str] = {}
    with _stores(home, key, env, make=False) as (caches, corpora):
        for number, cache in enumerate(caches):
            assert cache.check() == [], "a cache is damaged"
            page = cache.query(MessageQuery(order="oldest", limit=500)).messages
            for place, each in enumerate(page):
                facts[f"cache {number} message {place}"] = (
                    f"{each.message.content}, {cache.outbox.status(each.message.id)}"
                )
        for corpus in corpora:
            assert corpus.database.check() == [], "the corpus is damaged"
            for each in corpus.after(0, 500):
                facts[f"hub message {each.seq}"] = f"{each.message.content}"
    if (home / _SETTINGS).exists():
        facts["settings"] = blake3_digest((home / _SETTINGS).read_bytes()).hex()[:16]
    return facts
