"""Turns: sharers together, the one alone, and nobody starves."""

from __future__ import annotations

import random

import trio
import trio.testing

from inos.core.turns import Turns
from inos.testing.run import trio_test


@trio_test
async def test_sharers_are_in_together() -> None:
    turns = Turns()
    async with turns.shared(), turns.shared():
        pass


@trio_test
async def test_nobody_is_in_beside_the_one_alone() -> None:
    turns, chance = Turns(), random.Random(7)
    inside: list[str] = []
    met: list[tuple[str, ...]] = []

    async def share() -> None:
        async with turns.shared():
            inside.append("shared")
            await trio.sleep(chance.random() / 500)
            met.append(tuple(inside))
            inside.remove("shared")

    async def alone() -> None:
        async with turns.alone():
            inside.append("alone")
            await trio.sleep(chance.random() / 500)
            met.append(tuple(inside))
            inside.remove("alone")

    async with trio.open_nursery() as nursery:
        for _ in range(200):
            nursery.start_soon(chance.choice((share, share, share, alone)))
    assert all(seen == ("alone",) or "alone" not in seen for seen in met)
    assert ("alone",) in met
    assert any(len(seen) > 1 for seen in met)


@trio_test
async def test_the_one_is_not_kept_waiting_by_sharers_that_come_later() -> None:
    turns = Turns()
    order: list[str] = []

    async def alone() -> None:
        async with turns.alone():
            order.append("alone")

    async def late() -> None:
        async with turns.shared():
            order.append("late")

    async with trio.open_nursery() as nursery, turns.shared():
        nursery.start_soon(alone)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(late)
        await trio.testing.wait_all_tasks_blocked()
        assert order == []
    assert order == ["alone", "late"]
