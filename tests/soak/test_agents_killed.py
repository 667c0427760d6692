"""An agent is killed again and again while it writes and sends, without a hub at times: what it was told is kept
is kept, once, in its order, here and on the hub."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inos.core.env import RealEnv
from inos.core.messages.message import Message
from inos.core.messages.query import MessageQuery
from inos.messages import open_agent
from inos.testing.memory_service import MemoryService
from served import served

PROGRAM = Path(__file__).with_name("writing_agent.py")


def run_and_kill(home: Path, first: int, after_s: float) -> list[tuple[int, str]]:
    """What it said it had written, until it was killed so long after its first message."""
    command = [sys.executable, str(PROGRAM), str(home), str(first), "100000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": _source()})
    assert process.stdout is not None
    first_line = process.stdout.readline()
    time.sleep(after_s)
    process.kill()
    lines = (first_line + process.stdout.read()).decode().splitlines()
    process.wait()
    process.stdout.close()
    said = [line.split() for line in lines]
    return [(int(number), an_id) for number, an_id in (each for each in said if len(each) == 2)]


def _source() -> str:
    return str(Path(__file__).resolve().parents[2] / "src")


def all_messages(home: Path) -> list[Message]:
    with open_agent("writer", home=home) as agent:
        assert agent.flush(60), agent.stats()
        found, after = [], ""
        while True:
            page = agent.query(MessageQuery(order="oldest", limit=500, after=after))
            found += [each.message for each in page.messages]
            after = page.next
            if not after:
                return found


def kill_again_and_again(home: Path, rounds: int, seed: int) -> None:
    """Write, be killed, and look at what is left, every third time without a hub."""
    chance = random.Random(seed)
    service = MemoryService(RealEnv())
    acknowledged: list[tuple[int, str]] = []
    for number in range(rounds):
        first = acknowledged[-1][0] + 1 if acknowledged else 0
        if number % 3 == 2:
            acknowledged += run_and_kill(home, first, chance.uniform(0, 0.4))
        else:
            with served(service, home):
                acknowledged += run_and_kill(home, first, chance.uniform(0, 0.4))
    with served(service, home):
        here = all_messages(home)
        there = on_the_hub(service, len(here))
    assert len(acknowledged) >= rounds
    assert there == here, "all of them, once each, in the order of writing"
    assert [each.id for each in here] == sorted({each.id for each in here})
    kept = {str(each.id): each.content["number"] for each in here}
    assert all(kept.get(an_id) == number for number, an_id in acknowledged)
    assert len(here) <= len(acknowledged) + rounds, "at most one a kill was written and not yet said"
    print(f"{rounds} kills: {len(acknowledged)} acknowledged, {len(here)} here and there, once and in order")


def on_the_hub(service: MemoryService, count: int) -> list[Message]:
    there: list[Message] = []
    while len(there) < count:
        page = service.messages.corpus.after(len(there), 500)
        assert page, f"{len(there)} of {count} reached the hub"
        there += [each.message for each in page]
    return there


def test_nothing_acknowledged_is_lost_and_nothing_doubled(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, rounds=8, seed=7)


@pytest.mark.soak
def test_a_hundred_times(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, rounds=100, seed=8)
