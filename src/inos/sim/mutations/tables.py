"""Faults in the replicated tables: merging, removing, counting votes, logical time, and the turns of names."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import trio

from inos.core.env import Env
from inos.core.turns import Turns
from inos.replication import table_gate
from inos.replication.quorum import Tally
from inos.replication.table_writes import TableWriter
from inos.replication.tables import Tables
from inos.sim.mutations.mutation import Mutation, replaced
from inos.sim.script import Script, cluster
from inos.state.lamport import GENERATION, LamportClock
from inos.state.record import Record
from inos.store import records as record_store
from inos.store.cursor import Cursor
from inos.testing.env import SimEnv

ROUNDS = 12


@contextmanager
def _forget_removals() -> Iterator[None]:
    """A removal deletes the record instead of taking its place."""
    put = record_store._put

    def put_or_delete(cursor: Cursor, record: Record, sector: int, bucket: int) -> None:
        if record.removed:
            list(cursor.execute("DELETE FROM records WHERE tbl = ? AND key = ?", (record.table, record.key)))
        else:
            put(cursor, record, sector, bucket)

    with replaced(record_store, "_put", put_or_delete):
        yield


def _removed_while_one_is_away(seed: int) -> tuple[Script, float]:
    # No longer than the removal delay and a round or two: after that, what lost its name is removed once more.
    script = cluster(5, seed=seed, settle_s=130).put("letter", 100_000, "a").wait(seconds=10)
    return script.stop("b").wait(seconds=10).remove("letter", "a").wait(seconds=10).start("b"), 60


@contextmanager
def _last_to_arrive_holds() -> Iterator[None]:
    """Whatever comes last replaces what is there, the same again and older versions included."""

    def supersedes(new: Record, old: Record | None) -> bool:
        return True

    with replaced(table_gate, "supersedes", supersedes), replaced(record_store, "supersedes", supersedes):
        yield


@contextmanager
def _majority_of_one() -> Iterator[None]:
    """A write is acknowledged when one replica has it, the writer's own included."""
    begin = Tally.__init__

    def one_is_enough(self: Tally, wanted: Sequence[int], acked: Sequence[int]) -> None:
        begin(self, [1] * len(wanted), acked)

    with replaced(Tally, "__init__", one_is_enough):
        yield


def _one_put(seed: int) -> tuple[Script, float]:
    return cluster(5, seed=seed).put("letter", 1_000, "a"), 5


@contextmanager
def _trust_wall_clocks() -> Iterator[None]:
    """Versions are ordered by their writers' wall clocks."""
    begin = Tables.__init__
    clocks: WeakKeyDictionary[LamportClock, Env] = WeakKeyDictionary()

    def init(
        self: Tables,
        store: Any,
        network: Any,
        members: Any,
        env: Env,
        specs: Any,
        *,
        also_hold: Any = None,
        all_hold: Any = None,
    ) -> None:
        begin(self, store, network, members, env, specs, also_hold=also_hold, all_hold=all_hold)
        clocks[self.clock] = env

    def tick(self: LamportClock, after: int = 0) -> int:
        return int(clocks[self].now_s() * GENERATION)

    def open_generation(self: LamportClock, after: int = 0) -> int:
        return int(clocks[self].now_s()) * GENERATION

    with (
        replaced(Tables, "__init__", init),
        replaced(LamportClock, "tick", tick),
        replaced(LamportClock, "open_generation", open_generation),
    ):
        yield


def _removed_by_a_slow_clock(seed: int) -> tuple[Script, float]:
    script = cluster(5, seed=seed, settle_s=400).set_clock("a", 86_400.0).put("letter", 1_000, "a").wait(seconds=10)
    return script.remove("letter", "b"), 30


@contextmanager
def _forget_the_lock() -> Iterator[None]:
    """Names and removals do not wait for their turns."""

    @asynccontextmanager
    async def at_once(self: Turns) -> AsyncGenerator[None, None]:
        yield

    with replaced(Turns, "shared", at_once), replaced(Turns, "alone", at_once):
        yield


def _named_again_while_removed(seed: int) -> tuple[Script, float]:
    """On a busy machine what was put gets a second name while its first is removed."""
    chance = SimEnv(seed).random
    script = cluster(5, seed=seed)
    for turn in range(ROUNDS):
        script = script.put(f"o{turn}", 1_000, "a")
    script = script.busy("a", 0.3)
    for turn in range(ROUNDS):
        start_s = 10.0 + 5 * turn
        script = script.at(start_s).put_again(f"p{turn}", f"o{turn}", "a")
        script = script.at(start_s + round(chance.uniform(0, 2), 2)).remove(f"o{turn}", "a")
    return script, 10.0 + 5 * ROUNDS


@contextmanager
def _retry_without_end() -> Iterator[None]:
    """A record that found no majority is tried again for ever, also when it has one by now or was overtaken."""

    async def retry(self: TableWriter) -> None:
        for record in list(self._pending.values()):
            self._lanes.spawn(partial(_again_and_again, self, record))

    with replaced(TableWriter, "retry", retry):
        yield


async def _again_and_again(writer: TableWriter, record: Record) -> None:
    while True:
        await writer._replicate([record], 1.0)
        await trio.sleep(0.2)


def _alone_for_a_while(seed: int) -> tuple[Script, float]:
    return cluster(5, seed=seed).cut_off("a").wait(seconds=10).put("letter", 1_000, "a").wait(minutes=1).heal(), 120


TABLE_MUTATIONS = (
    Mutation(
        "forget-removals",
        "a removal deletes the record instead of taking its place",
        ("removed_stays_away", "removed stays away", "equal"),
        _forget_removals,
        _removed_while_one_is_away,
    ),
    Mutation(
        "last-to-arrive-holds",
        "the version that comes last replaces the others",
        ("removed_stays_away", "equal", "served right"),
        _last_to_arrive_holds,
        _removed_while_one_is_away,
    ),
    Mutation(
        "majority-of-one",
        "a write is acknowledged when one replica has it",
        ("acknowledged truly",),
        _majority_of_one,
        _one_put,
    ),
    Mutation(
        "trust-wall-clocks",
        "versions are ordered by their writers' wall clocks",
        ("removed_stays_away", "removed stays away"),
        _trust_wall_clocks,
        _removed_by_a_slow_clock,
    ),
    Mutation(
        "forget-the-lock",
        "names and removals do not wait for their turns",
        ("acknowledged truly", "readable"),
        _forget_the_lock,
        _named_again_while_removed,
    ),
    Mutation(
        "retry-without-end",
        "what found no majority is tried again for ever, by ever more tasks",
        ("bounded",),
        _retry_without_end,
        _alone_for_a_while,
    ),
)
