"""A hub killed a hundred times (HUB_KILLS), or silent for long, while agents on three machines write: all that they
were told is kept is there, once, in order.

Every tenth time it stays away until another machine has taken over, and comes back as one that is the hub no more.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "e2e"))

from e2e_machines import wait_for
from message_mesh import MessageMesh, all_ended, check_complete, is_hub, stored

SILENCES = int(os.environ.get("HUB_SILENCES") or 5)
KILLS = int(os.environ.get("HUB_KILLS") or 100)
TAKEN_OVER_EVERY = 10
AGENT_KILLED_EVERY = 5
MOST_MESSAGES = 100_000  # more than they get to write


@pytest.mark.soak
@pytest.mark.timeout(300 + 60 * KILLS)
def test_a_hub_killed_again_and_again_loses_nothing(tmp_path: Path) -> None:
    mesh, until = MessageMesh.open(tmp_path), tmp_path / "until"
    try:
        desk, laptop, shelf = mesh.machines.made
        mesh.hub()
        chance, moved = random.Random(1), 0
        agents = [
            mesh.agent(machine, f"on-{machine.home.name}", MOST_MESSAGES, 0.05, until)
            for machine in (desk, laptop, shelf)
        ]
        for number in range(1, KILLS + 1):
            time.sleep(chance.uniform(0.2, 1.5))
            hub = mesh.hub()
            hub.kill()
            if number % TAKEN_OVER_EVERY == 0:
                moved += mesh.hub() is not hub
            if number % AGENT_KILLED_EVERY == 0:
                agent = agents[number // AGENT_KILLED_EVERY % 3]
                agent.kill()
                agent.start()
            hub.restart()
        assert not any(agent.ended() for agent in agents), "they wrote all the time"
        until.touch()
        all_ended(agents, within_s=600)
        check_complete(shelf, agents)
        count = sum(len(agent.acknowledged()) for agent in agents)
        found = sum(len(stored(shelf, agent.name)) for agent in agents)
        print(f"{KILLS} kills, {moved} takings over; {count} acknowledged, {found} on the hub, all once and in order")
    finally:
        mesh.close()


@pytest.mark.soak
@pytest.mark.timeout(300 + 120 * SILENCES)
def test_a_hub_that_falls_silent_and_wakes_when_another_has_taken_over_loses_nothing(tmp_path: Path) -> None:
    """As one that is cut off: it has messages that nobody else has, and still takes itself for the hub."""
    mesh, until = MessageMesh.open(tmp_path), tmp_path / "until"
    try:
        agents = [
            mesh.agent(machine, f"on-{machine.home.name}", MOST_MESSAGES, 0.02, until) for machine in mesh.machines.made
        ]
        for number in range(SILENCES):
            silent = mesh.hub()
            time.sleep(2.0)
            others = [machine for machine in mesh.machines.made if machine is not silent]
            os.kill(silent.pid, signal.SIGSTOP)
            try:
                wait_for(lambda: any(map(is_hub, others)), "another has taken over")  # noqa: B023
            finally:
                os.kill(silent.pid, signal.SIGCONT)
            wait_for(lambda: not is_hub(silent), f"silence {number}: it is the hub no more")  # noqa: B023
        until.touch()
        all_ended(agents, within_s=300)
        check_complete(mesh.machines.made[0], agents)
        count = sum(len(agent.acknowledged()) for agent in agents)
        print(f"{SILENCES} silences; {count} acknowledged, all on the hub once and in order")
    finally:
        mesh.close()
