"""A hub's corpus on a simulated disk, through power cuts, and full. (The API's tests run on such a disk as well.)"""

from __future__ import annotations

import random
from typing import Final

import pytest

from inos.core.errors import StorageFull
from inos.core.messages.marks import Mark
from inos.core.messages.message import Message
from inos.messages.sqlite_corpus import SqliteCorpus
from inos.sim.disk import SimDisk
from inos.testing.chunks import Clock
from inos.testing.corpus import NOW_MS, inserted, message, message_id

KEY: Final = bytes(range(32))


def opened(disk: SimDisk) -> SqliteCorpus:
    return SqliteCorpus(disk.root / "corpus.db", KEY, Clock(), files=disk.files)


def test_what_was_acknowledged_outlives_any_power_cut() -> None:
    """Power is lost after some step of the disk; whatever `insert` and `mark` returned is there, once, in order."""
    chance = random.Random(4)
    cut = 0
    for attempt in range(40):
        disk = SimDisk(random.Random(attempt), capacity_bytes=10**9)
        opened(disk).close()
        disk.cut_power_at(disk.steps + chance.randrange(1, 120))
        stored: list[Message] = []
        marked: list[str] = []
        tried: list[Message] = []
        alive = disk.files
        corpus = opened(disk)
        for number in range(12):
            tried = [message(number * 3 + each) for each in range(3)]
            corpus.insert(tried, NOW_MS)
            if disk.files is not alive:
                break
            stored += tried
            corpus.mark([tried[0].id], "read", Mark(NOW_MS, "eve", True))
            if disk.files is not alive:
                break
            marked.append(tried[0].id)
            corpus.index_step(4)
        cut += disk.files is not alive
        disk.crash()
        corpus.close()
        corpus = opened(disk)
        there = [each.message for each in corpus.after(0, 100)]
        assert there in (stored, stored + tried), attempt
        assert all(corpus.get(each).marks.state == "read" for each in marked)
        assert [each.seq for each in corpus.after(0, 100)] == list(range(1, len(there) + 1))
        stats = corpus.stats()
        assert stats.last_seq == len(there)
        assert stats.unread == sum(each.marks.state == "unread" for each in corpus.after(0, 100))
        fates = {each.fate for each in corpus.insert(stored[:6], NOW_MS)} if stored else {"duplicate"}
        assert fates == {"duplicate"}
        corpus.close()
    assert cut > 20


def test_a_full_disk_takes_whole_batches_or_nothing() -> None:
    disk = SimDisk(random.Random(1), capacity_bytes=1_500_000)
    corpus = opened(disk)
    noise = random.Random(2)
    with pytest.raises(StorageFull):
        for number in range(10_000):
            batch = [message(number * 2 + each, content=noise.randbytes(5_000).hex()) for each in range(2)]
            corpus.insert(batch, NOW_MS)
    stored = corpus.after(0, 500)
    assert len(stored) % 2 == 0 and stored
    assert corpus.get(message_id(0)).seq == 1
    disk.capacity_bytes = 10**9
    inserted(corpus, [message(99_999)])
    assert corpus.stats().messages == len(stored) + 1
    corpus.close()
