"""Tasks beside each other: how they fail, and that none is left."""

from __future__ import annotations

import logging

import pytest
import trio

from inos.core.crew import open_crew, open_tasks
from inos.core.errors import Corrupt, StorageFull
from inos.testing.run import sim_test


async def fail(error: Exception) -> None:
    """Fails in its first step: with a checkpoint before, the first of two failures would cancel the other."""
    raise error


@sim_test
async def test_a_crew_survives_its_tasks_and_ends_them(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[str] = []

    async def endless() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append("endless")

    with caplog.at_level(logging.ERROR):
        async with open_crew() as crew:
            crew.start(endless)
            crew.start(fail, ValueError("a bug"))
            await trio.sleep(1)
            assert (crew.running, crew.failures) == (1, 1)
    assert ended == ["endless"]
    assert "a background task failed" in caplog.text


@sim_test
async def test_a_call_of_several_tasks_raises_what_failed() -> None:
    with pytest.raises(StorageFull):
        async with open_tasks() as outer:
            async with open_tasks() as inner:
                inner.start_soon(trio.sleep_forever)
                inner.start_soon(fail, StorageFull("no room"))
            outer.start_soon(trio.sleep_forever)


@sim_test
async def test_of_several_failures_the_one_a_caller_understands_is_raised() -> None:
    with pytest.raises(Corrupt):
        async with open_tasks() as nursery:
            async with trio.open_nursery() as deeper:
                deeper.start_soon(fail, ValueError("a bug"))
                deeper.start_soon(fail, Corrupt("damaged"))
            nursery.start_soon(trio.sleep_forever)


@sim_test
async def test_being_cancelled_is_no_failure() -> None:
    with trio.move_on_after(1) as scope:
        async with open_tasks() as nursery:
            nursery.start_soon(trio.sleep_forever)
    assert scope.cancelled_caught
