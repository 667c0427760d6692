"""A hub killed a hundred times while agents on three machines write: nothing is lost, twice, or out of order."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "e2e"))

from message_mesh import MessageMesh, all_ended, check_complete

KILLS = 100
MESSAGES_A_KILL = 20


@pytest.mark.soak
def test_a_hub_killed_again_and_again_loses_nothing(tmp_path: Path) -> None:
    mesh = MessageMesh.open(tmp_path)
    try:
        desk, laptop, shelf = mesh.machines.made
        mesh.hub()
        count, chance = KILLS * MESSAGES_A_KILL, random.Random(1)
        agents = [mesh.agent(machine, f"on-{machine.home.name}", count, 0.05) for machine in (desk, laptop, shelf)]
        for number in range(KILLS):
            time.sleep(chance.uniform(0.2, 1.5))
            hub = mesh.hub()
            hub.kill()
            if number % 5 == 4:
                agents[number % 3].kill()
                agents[number % 3].start()
            hub.restart()
        all_ended(agents, within_s=600)
        check_complete(shelf, agents)
    finally:
        mesh.close()
