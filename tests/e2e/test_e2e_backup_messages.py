"""Messages of real nodes through a backup: a hub's machine is lost and comes back, alone or after another took over."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from e2e_machines import Machine, Machines, run_inos, wait_for
from message_mesh import MessageMesh, all_ended, check_complete, is_hub, stored

from inos.core.messages.message import Draft
from inos.core.messages.query import StoredMessage
from inos.messages.agent import open_agent

pytestmark = pytest.mark.slow


def lost_and_restored(machine: Machine, place: Path) -> None:
    """Its disk is gone; a new one gets what the backup has, by the phrase, and the node runs again."""
    if machine.running:
        machine.kill()
    shutil.rmtree(machine.home)
    done = run_inos(
        "restore", "--home", str(machine.home), "--json", "--no-passphrase", "--phrase", "-", str(place),
        stdin=machine.phrase.encode(),
    )  # fmt: skip
    assert done.code == 0, done.err
    machine.restart()


def texts(found: Sequence[StoredMessage], agent: str) -> list[int]:
    return [each.message.content["n"] for each in found if each.message.agent == agent]


def test_the_only_hub_there_is_comes_back_and_agents_send_again_what_it_lost(tmp_path: Path) -> None:
    """What an agent on another machine was told that the hub has, after the backup, is not let go of: the restored hub
    gives the same seqs to other messages, and would pass for the one that has them."""
    machines = Machines(tmp_path)
    try:
        desk = machines.make("desk")
        (desk.home / "config").mkdir()
        (desk.home / "config/hub.yaml").write_text("snapshot_seconds: 3600\n")
        desk.restart()
        place, far = tmp_path / "place", tmp_path / "far"
        with open_agent("far", home=desk.home, folder=far) as agent, desk.connected() as client:
            agent.append_drafts([agent.draft({"n": number}) for number in range(10)])
            assert agent.flush(30)
            client.messages.post_many([Draft("held", {"n": number}) for number in range(5)])
            wait_for(lambda: len(stored(desk)) == 15, "all is on the hub")
            marked = stored(desk)[3].message.id
            client.messages.mark([marked], "acknowledged")
            done = desk.inos("backup", str(place)).json  # while the agent has its cache open
            assert (done["messages"], done["config"], done["damaged"]) == (2, 1, 0)
            agent.append_drafts([agent.draft({"n": number}) for number in range(10, 30)])
            assert agent.flush(30)  # acknowledged by the hub, after the backup
        assert desk.inos("backup", "check", str(place)).json["problems"] == []
        before = stored(desk)
        lost_and_restored(desk, place)
        with desk.connected() as client:
            # New messages get the seqs that those lost had: the cover of the one says nothing of the other.
            client.messages.post_many([Draft("held", {"n": number}) for number in range(5, 40)])
        wait_for(lambda: len(texts(stored(desk), "held")) == 40, "the hub is back")
        with open_agent("far", home=desk.home, folder=far) as agent:
            agent.append({"n": 30})
            wait_for(lambda: len(texts(stored(desk), "far")) == 31, "what was lost is sent again")
        after = stored(desk)
        assert texts(after, "far") == list(range(31)) and texts(after, "held") == list(range(40))
        assert [each.message for each in after[:15]] == [each.message for each in before[:15]]
        assert next(each for each in after if each.message.id == marked).marks.has("acknowledged")
    finally:
        machines.stop()


def test_a_hub_that_was_followed_by_another_comes_back_as_none(tmp_path: Path) -> None:
    """It hands on what it alone has, and doubles, reorders and replaces nothing."""
    mesh = MessageMesh.open(tmp_path)
    try:
        desk, laptop, shelf = mesh.machines.made
        assert mesh.hub() == desk
        first = mesh.agent(laptop, "first", 60)
        all_ended([first])
        desk.stop()
        with open_agent("unsent", home=desk.home) as agent:  # no node: it waits in its cache
            agent.append_drafts([agent.draft({"n": number}) for number in range(7)])
        place = tmp_path / "place"
        desk.inos("backup", str(place))
        desk.restart()
        wait_for(lambda: desk.status().alive == 3, "it is back")
        mesh.hub()
        second = mesh.agent(shelf, "second", 60)
        all_ended([second])
        desk.kill()
        with laptop.connected() as client:
            client.messages.take_hub()
        wait_for(lambda: is_hub(laptop), "another follows")
        third = mesh.agent(shelf, "third", 60)
        all_ended([third])
        before = stored(shelf)  # of the first two agents, what the lost hub had covered by then
        check_complete(shelf, [third])
        lost_and_restored(desk, place)
        wait_for(lambda: desk.status().alive == 3, "it is back")
        wait_for(lambda: len(texts(stored(desk), "first")) == 60, "it has handed on what it alone has")
        assert is_hub(laptop) and not is_hub(desk)
        after = stored(desk)
        assert [each.message.id for each in after[: len(before)]] == [each.message.id for each in before]
        check_complete(desk, [first, third])
        with open_agent("second", home=shelf.home):  # what came after the backup, its own machine has
            wait_for(lambda: len(texts(stored(desk), "second")) == 60, "it is sent again")
        with open_agent("unsent", home=desk.home) as agent:
            agent.append({"n": 7})
            assert agent.flush(30)
        check_complete(desk, [first, second, third])
        assert texts(stored(shelf), "unsent") == list(range(8))
        with desk.connected() as client:  # and the other way round: what it brought back is no obstacle
            assert client.messages.take_hub().role == "hub"
        wait_for(lambda: is_hub(desk) and len(stored(laptop)) == 60 * 3 + 8, "it is the hub again, with all there is")
        check_complete(laptop, [first, second, third])
        assert texts(stored(laptop), "unsent") == list(range(8))
    finally:
        mesh.close()
