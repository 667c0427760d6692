"""A hub killed a hundred times (HUB_KILLS) while agents on three machines write: all is there, once, in order.

Every tenth time it stays away until another machine has taken over, and comes back as one that is the hub no more.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "e2e"))

from message_mesh import MessageMesh, all_ended, check_complete, stored

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
