"""Operations of messages: an agent's cache with its outbox, a hub's corpus, and batches from one to the other.

Ids are new in each run, so facts go by texts; how often each is there is part of the fact, for none may come twice.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Final

from crash.operations import Acknowledge, Operation
from crash.roots import Clock, Facts, Found, Scene
from inos.core.errors import Refused
from inos.core.messages.ids import MessageId, parse_id
from inos.core.messages.marks import Mark
from inos.core.messages.message import Draft, Message
from inos.core.messages.query import MessageQuery, StoredMessage
from inos.core.messages.sync import Ack
from inos.messages.cache import AgentCache, CacheLimits
from inos.messages.cache_folder import open_cache
from inos.messages.sqlite_corpus import SqliteCorpus

_AGENT: Final = "crashed"
_KEY: Final = bytes(range(32))
_NOW_MS: Final = 1_800_000_000_000
_DAYS_S: Final = 3 * 86_400.0
_OLD: Final = tuple(f"old {number}" for number in range(6))
_NEW: Final = tuple(f"new {number}" for number in range(4))
_MANY: Final = tuple(f"many {number}" for number in range(30))


@contextmanager
def _cache(scene: Scene, *, ahead_s: float = 0.0, days: int = 0) -> Iterator[AgentCache]:
    clock = Clock()
    clock.ahead_s = ahead_s
    path, limits = scene.home / "cache.db", CacheLimits(retention_days=days)
    with closing(AgentCache(path, _KEY, _AGENT, clock, limits=limits)) as cache:
        yield cache


@contextmanager
def _corpus(scene: Scene) -> Iterator[SqliteCorpus]:
    with closing(SqliteCorpus(scene.home / "corpus.db", _KEY, Clock())) as corpus:
        yield corpus


def _draft(text: str) -> Draft:
    return Draft(_AGENT, {"text": f"{text} {'x' * 300}"})


def _text(message: Message) -> str:
    content = message.content
    assert isinstance(content, dict)
    return str(content["text"]).rpartition(" ")[0]


def _every(store: AgentCache | SqliteCorpus) -> list[StoredMessage]:
    found: list[StoredMessage] = []
    after = ""
    while True:
        page = store.query(MessageQuery(limit=100, after=after))
        found += page.messages
        if not (after := page.next):
            return found


def _append(store: AgentCache, texts: Sequence[str]) -> None:
    """What is not there so far, as an agent does that knows what it was told is there."""
    there = {_text(each.message) for each in _every(store)}
    store.append_many([_draft(text) for text in texts if text not in there])


# The agent


def _appending(scene: Scene, acknowledge: Acknowledge) -> None:
    with _cache(scene) as cache:
        for text in _NEW:
            _append(cache, [text])
            acknowledge()
        _append(cache, _MANY)
        acknowledge()


def _appending_in_folder(scene: Scene, acknowledge: Acknowledge) -> None:
    """As a program opens its cache: its key, its lock, its log made long beforehand."""
    with open_cache(scene.home / "agent", _AGENT, Clock()) as cache:
        for text in _NEW:
            _append(cache, [text])
            acknowledge()


def _indexing(scene: Scene, acknowledge: Acknowledge) -> None:
    with _cache(scene) as cache:
        while cache.index_step(3):
            acknowledge()


def _parking(scene: Scene, acknowledge: Acknowledge) -> None:
    with _cache(scene) as cache:
        for each in cache.outbox.take(2):
            if _text(Message.decode(each.encoded)) in _OLD[:2]:
                cache.outbox.park(each.seq, Refused("a hub said no"), _NOW_MS)
            acknowledge()


def _retaining(scene: Scene, acknowledge: Acknowledge) -> None:
    with _cache(scene, ahead_s=_DAYS_S, days=1) as cache:
        while cache.upkeep():
            pass
        acknowledge()
        _append(cache, _NEW)
        acknowledge()


# The hub


def _messages(texts: Sequence[str]) -> list[Message]:
    """The same each time, as an agent sends them again that has heard no answer."""
    return [_draft(text).written(_fixed_id(text), _NOW_MS) for text in texts]


def _fixed_id(text: str) -> MessageId:
    number = sum(byte << (8 * at) for at, byte in enumerate(text.encode()[:7]))
    return parse_id(f"018cc251-f400-7000-8000-{number % (1 << 48):012x}")


def _inserting(scene: Scene, acknowledge: Acknowledge) -> None:
    with _corpus(scene) as corpus:
        for texts in (_NEW[:1], _NEW, _MANY):
            corpus.insert(_messages(texts), _NOW_MS)
            acknowledge()


def _marking(scene: Scene, acknowledge: Acknowledge) -> None:
    with _corpus(scene) as corpus:
        for number, text in enumerate(_OLD[:3]):
            corpus.mark([str(_messages([text])[0].id)], "read", Mark(_NOW_MS + number, "somebody", on=True))
            acknowledge()
        corpus.merge_marks([(each.message.id, each.marks.with_mark("archived", Mark(_NOW_MS, "x", on=True)))
                            for each in _every(corpus)])  # fmt: skip
        acknowledge()


def _indexing_hub(scene: Scene, acknowledge: Acknowledge) -> None:
    with _corpus(scene) as corpus:
        while corpus.index_step(2):
            acknowledge()


def _syncing(scene: Scene, acknowledge: Acknowledge) -> None:
    """Batches from the outbox into the corpus, each answered and settled; what a kill leaves in between goes again."""
    with _cache(scene) as cache, _corpus(scene) as corpus:
        while batch := cache.outbox.take(2):
            results = corpus.insert([Message.decode(each.encoded) for each in batch], _NOW_MS)
            acknowledge()
            cache.outbox.settle(batch, Ack(corpus.identity, tuple(results), corpus.stats().last_seq), _NOW_MS)
            acknowledge()


# What is so


def _found(scene: Scene) -> Found:
    facts, began = Facts(), time.perf_counter()
    if (scene.home / "cache.db").exists():
        with _cache(scene) as cache:
            _of_cache(cache, facts)
    if (scene.home / "agent" / "cache.db").exists():
        with open_cache(scene.home / "agent", _AGENT, Clock()) as cache:
            _of_cache(cache, facts)
    recovery_s = time.perf_counter() - began
    if (scene.home / "corpus.db").exists():
        with _corpus(scene) as corpus:
            _of_corpus(corpus, facts)
    return Found(facts, recovery_s)


def _of_cache(cache: AgentCache, facts: Facts) -> None:
    assert cache.check() == [], "the cache is damaged"
    every = _every(cache)
    counts = Counter(_text(each.message) for each in every)
    for each in every:
        text = _text(each.message)
        facts[f"cache {text}"] = f"{counts[text]} time, {cache.outbox.status(each.message.id)}"
    if every:
        facts["cache unindexed"] = str(cache.stats().unindexed)


def _of_corpus(corpus: SqliteCorpus, facts: Facts) -> None:
    assert corpus.database.check() == [], "the corpus is damaged"
    every = _every(corpus)
    counts = Counter(_text(each.message) for each in every)
    for each in every:
        facts[f"hub {_text(each.message)}"] = f"{counts[_text(each.message)]} time, {json.dumps(each.marks.to_json())}"
    stats = corpus.stats()
    assert stats.messages == len(every) == stats.last_seq, "a seq is missing or came twice"
    if every:
        facts["hub unindexed"] = str(stats.unindexed)


def _nothing(scene: Scene) -> None:
    scene.home.mkdir()


def _with_cache(scene: Scene, *, settled: bool = False) -> None:
    scene.home.mkdir()
    with _cache(scene) as cache:
        _append(cache, _OLD)
        if settled:
            with _corpus(scene) as corpus:
                batch = cache.outbox.take()
                results = corpus.insert([Message.decode(each.encoded) for each in batch], _NOW_MS)
                cache.outbox.settle(batch, Ack(corpus.identity, tuple(results), len(batch)), _NOW_MS)


def _with_corpus(scene: Scene) -> None:
    scene.home.mkdir()
    with _corpus(scene) as corpus:
        corpus.insert(_messages(_OLD), _NOW_MS)


def _of(
    name: str, make: Callable[[Scene], None], work: Callable[[Scene, Acknowledge], None], *, atomic: bool = True
) -> Operation:
    return Operation(f"messages: {name}", make, work, _found, atomic=atomic)


OPERATIONS: Final = (
    _of("append", _with_cache, _appending),
    _of("append in a new folder", _nothing, _appending_in_folder),
    _of("index an agent's", _with_cache, _indexing),
    _of("park what is refused", _with_cache, _parking),
    _of("let go of old ones", partial(_with_cache, settled=True), _retaining, atomic=False),
    _of("insert at a hub", _with_corpus, _inserting),
    _of("mark at a hub", _with_corpus, _marking),
    _of("index a hub's", _with_corpus, _indexing_hub),
    _of("sync with a hub", _with_cache, _syncing),
)
