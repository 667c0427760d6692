"""Power lost at any step of anything: what was acknowledged is there, nothing is half there - and these tests notice a
disk, or a store, that does not sync."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence

import disk_stories
import pytest
from disk_stories import ACTIONS, CHUNKS, MOST_STEPS, Action, Round, left_by, plain_rounds, survive
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.errors import InosError
from inos.core.ids import Address
from inos.sim.disk_file import SimFile
from inos.sim.disk_files import SimFiles
from inos.store.chunk_files import ChunkFiles

actions = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.frozensets(st.integers(0, CHUNKS - 1), min_size=1, max_size=4)),
    max_size=12,
)


@settings(max_examples=150)
@given(st.lists(st.tuples(actions, st.integers(1, MOST_STEPS)), min_size=1, max_size=3), st.integers(0, 2**32))
def test_what_was_acknowledged_survives_a_power_cut_at_any_step(rounds: list[Round], seed: int) -> None:
    survive(rounds, seed)


def test_a_power_cut_at_each_step_of_a_beginning() -> None:
    """From an empty disk: making the database, the folders, the first chunks."""
    story: list[Action] = [("put", frozenset({1, 2, 3})), ("set", frozenset({1})), ("restart", frozenset({1}))]
    for cut_at in range(1, 80):
        survive([([*story, ("put", frozenset({5}))], cut_at), (story, cut_at)], seed=cut_at)


def badly_ended(*, ignore_sync: bool = False, stories: int = 40) -> int:
    """How many of some stories end badly."""
    return sum(ends_badly(seed, ignore_sync) for seed in range(stories))


def ends_badly(seed: int, ignore_sync: bool) -> bool:
    try:
        survive(plain_rounds(seed), seed, ignore_sync=ignore_sync)
    except (AssertionError, InosError):
        return True
    return False


def test_these_stories_end_well_on_an_honest_disk() -> None:
    assert badly_ended() == 0


def test_a_disk_that_ignores_sync_is_noticed() -> None:
    assert badly_ended(ignore_sync=True) > 20


def unsynced_folders(self: SimFiles, folder: object) -> None:
    """A store that forgets that names need a sync too."""


def synced_except_chunks(self: SimFiles, path: str, file: SimFile) -> None:
    if "/staging/" not in path:
        file.sync()


def synced_except_the_log(self: SimFiles, path: str, file: SimFile) -> None:
    if not path.endswith("-wal"):
        file.sync()


def written_in_place(self: ChunkFiles, chunks: Sequence[tuple[Address, bytes]]) -> None:
    files = [(self.path(address), data) for address, data in chunks]
    for place, data in files:
        self._files.write_synced([(place, data)])


@pytest.mark.parametrize(
    ("owner", "name", "mutant"),
    [
        (SimFiles, "sync_folder", unsynced_folders),
        (SimFiles, "sync", synced_except_chunks),
        (SimFiles, "sync", synced_except_the_log),
        (ChunkFiles, "write", written_in_place),
    ],
)
def test_a_store_that_forgets_one_kind_of_sync_is_noticed(
    owner: type, name: str, mutant: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, mutant)
    assert badly_ended() > 0


def test_a_seed_tells_the_same_story_in_every_process() -> None:
    told = {
        subprocess.run(
            [sys.executable, disk_stories.__file__, "3"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2", "3")
    }
    assert told == {left_by(3)}
    assert left_by(4) not in told
