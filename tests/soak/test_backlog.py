"""A backlog of a hundred thousand messages, of an agent that had no hub for long, arrives at a real one that is killed
in the middle of it: all of it, once, in order."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from soak_mesh import resident_mb

sys.path.append(str(Path(__file__).parent.parent / "e2e"))

from e2e_machines import Machines
from message_mesh import stored

from inos.messages import open_agent

COUNT = 100_000
AT_ONCE = 500


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_backlog_of_a_hundred_thousand_arrives_whole_and_in_order(tmp_path: Path) -> None:
    machines = Machines(tmp_path)
    desk = machines.make("desk")
    with open_agent("writer", home=desk.home, linger_s=0.0) as agent:
        for first in range(0, COUNT, AT_ONCE):
            numbers = range(first, first + AT_ONCE)
            agent.append_drafts([agent.draft({"n": number, "text": "w " * 50}) for number in numbers])
        assert agent.stats().cache.pending == COUNT
    desk.options = (*desk.options, "--hub")
    try:
        desk.restart()
        began_s = time.monotonic()
        with open_agent("writer", home=desk.home) as agent:
            while agent.stats().cache.pending > COUNT // 2:
                time.sleep(0.1)
            half_s = time.monotonic() - began_s
            desk.kill()
            left = agent.stats().cache.pending
            desk.restart()
            began_s = time.monotonic()
            assert agent.flush(1200), agent.stats()
            rest_s = time.monotonic() - began_s
        print(
            f"{(COUNT - left) / half_s:.0f} messages/s, hub killed, {left / rest_s:.0f} messages/s;"
            f" hub {resident_mb(desk.pid, 'VmHWM'):.0f} MB at most"
        )
        found = [each.message.content["n"] for each in stored(desk, "writer")]
        assert found == list(range(COUNT))
    finally:
        machines.stop()
