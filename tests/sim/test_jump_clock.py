"""The jumping clock: time passes when everybody waits, exactly as far as the next deadline, and costs nothing."""

from __future__ import annotations

import trio

from inos.sim.clock import JumpClock
from inos.sim.schedule import Schedule


def run(main: object) -> object:
    return trio.run(main, clock=JumpClock())  # type: ignore[arg-type]


def test_a_year_passes_at_once_and_exactly() -> None:
    async def main() -> float:
        for _ in range(365):
            await trio.sleep(86_400)
        return trio.current_time()

    assert run(main) == 365 * 86_400


def test_sleepers_wake_in_order_of_their_deadlines() -> None:
    woken: list[tuple[float, float]] = []

    async def sleeper(seconds: float) -> None:
        await trio.sleep(seconds)
        woken.append((seconds, trio.current_time()))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for seconds in (5, 0.25, 3, 1, 1.5):
                nursery.start_soon(sleeper, seconds)

    run(main)
    assert woken == [(seconds, seconds) for seconds in (0.25, 1, 1.5, 3, 5)]


def test_time_stands_while_somebody_can_run() -> None:
    async def main() -> float:
        with trio.move_on_after(1):
            for _ in range(1000):
                await trio.lowlevel.checkpoint()
            return trio.current_time()
        raise AssertionError("time passed")

    assert run(main) == 0


def test_a_wait_that_is_met_in_time_is_not_waited_out() -> None:
    async def main() -> tuple[bool, float]:
        event = trio.Event()

        async def later() -> None:
            await trio.sleep(2)
            event.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(later)
            with trio.move_on_after(10) as scope:
                await event.wait()
        return scope.cancelled_caught, trio.current_time()

    assert run(main) == (False, 2)


class Due:
    """A deadline that notes when it ended."""

    def __init__(self, name: str, ended: list[tuple[str, float]]) -> None:
        self._name, self._ended = name, ended
        self.open = True

    def expire(self) -> None:
        self.open = False
        self._ended.append((self._name, trio.current_time()))


def test_deadlines_of_one_delay_end_in_order_and_among_the_others_and_those_that_were_met_do_not() -> None:
    ended: list[tuple[str, float]] = []

    async def main() -> None:
        schedule = Schedule()
        first, second, met, last = (Due(name, ended) for name in ("first", "second", "met", "last"))
        schedule.expire_after(1.0, first)
        schedule.expire_at(1.0, Due("between", ended))
        schedule.expire_after(1.0, second)
        schedule.expire_after(1.0, met)
        await trio.sleep(0.5)
        met.open = False
        schedule.expire_after(1.0, last)
        await trio.sleep(10)
        schedule.expire_after(1.0, Due("again", ended))
        await trio.sleep(2)

    run(main)
    assert ended == [("first", 1.0), ("between", 1.0), ("second", 1.0), ("last", 1.5), ("again", 11.5)]
