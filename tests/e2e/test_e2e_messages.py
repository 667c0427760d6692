"""Messages of real agents over real nodes: killed hubs and agents, a hub whose disk is gone, duplicates, the hook."""

from __future__ import annotations

import json
import shutil
import stat
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from e2e_machines import Machine, wait_for
from message_mesh import MessageMesh, all_ended, check_complete, is_hub, stored

from inos.core.endpoint import read_endpoint
from inos.core.errors import Conflict
from inos.core.messages.ids import next_id
from inos.core.messages.marks import Marks
from inos.core.messages.message import Draft, Message
from inos.core.messages.sync import Ack, Batch

pytestmark = pytest.mark.slow
KILLS = 3


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MessageMesh]:
    mesh = MessageMesh.open(tmp_path_factory.mktemp("messages"))
    try:
        yield mesh
    finally:
        mesh.close()


def test_killed_hubs_and_agents_lose_nothing(mesh: MessageMesh) -> None:
    desk, laptop, shelf = mesh.machines.made
    mesh.hub()
    agents = [mesh.agent(machine, f"killed-{machine.home.name}", 150, 0.05) for machine in (desk, laptop, shelf)]
    for number in range(KILLS):
        time.sleep(1.0)
        desk.kill()
        agents[1 + number % 2].kill()
        desk.restart()
        agents[1 + number % 2].start()
    all_ended(agents)
    check_complete(shelf, agents)


def test_a_batch_that_comes_many_ways_is_stored_once(mesh: MessageMesh) -> None:
    hub = mesh.hub()
    last, messages = None, []
    for number in range(20):
        last = next_id(1_800_000_000_000, bytes([number] * 10), last)
        messages.append(Message(last, 1_800_000_000_000, "twice", {"n": number}))
    body = Batch("b", "test", tuple(messages)).encode()
    acks = [Ack.from_json(_sent(machine, body)) for machine in mesh.running() for _ in range(3)]
    fates = [result.fate for ack in acks for result in ack.results]
    assert fates.count("stored") == 20 and fates.count("duplicate") == 20 * (len(acks) - 1)
    assert [each.message for each in stored(hub, "twice")] == messages
    elsewhere = Batch("b", "test", (messages[0],), hub="another").encode()
    assert Ack.from_json(_sent(mesh.running()[1], elsewhere)).results == ()


def _sent(machine: Machine, body: bytes) -> Any:
    endpoint = read_endpoint(machine.home)
    request = urllib.request.Request(
        f"{endpoint.url}/sync/messages", body, {"Authorization": f"Bearer {endpoint.token}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_a_hub_whose_disk_is_gone_is_replaced_and_nothing_with_it(mesh: MessageMesh, tmp_path: Path) -> None:
    desk, laptop, shelf = mesh.machines.made
    mesh.hub()
    agent = mesh.agent(laptop, "outlives", 400)
    all_ended([agent])
    with shelf.connected() as client:
        marked = client.messages.mark([agent.acknowledged()[7]], "acknowledged")
        (posted,) = client.messages.post_many([Draft("poster", {"n": 0})])
    assert marked.covered and marked.messages[0].marks.has("acknowledged")
    before = [each.message for each in stored(shelf)]
    desk.kill()
    shutil.rmtree(desk.home)
    mesh.machines.made.remove(desk)
    while_away = mesh.agent(shelf, "meanwhile", 50)
    hub = mesh.hub()
    assert hub in (laptop, shelf)
    all_ended([while_away])
    wait_for(lambda: posted.id in {each.message.id for each in stored(shelf, "poster")}, "what was posted arrives")
    check_complete(laptop, [agent, while_away])
    after = {str(each.message.id): each for each in stored(laptop)}
    assert {message.id for message in before} <= after.keys()
    assert all(after[message.id].message == message for message in before)
    assert after[agent.acknowledged()[7]].marks.has("acknowledged")


def test_the_corpus_is_all_on_a_new_machine_that_has_only_the_phrase(mesh: MessageMesh) -> None:
    """It sees what the hub has, and has it all itself once it is the hub, the messages of a lost hub among them."""
    hub = mesh.hub()
    before = kept(hub)
    assert len(before) > 100
    fresh = mesh.machines.make("fresh", phrase=hub.phrase)
    mesh.machines.join(hub, fresh)
    with fresh.connected() as client:
        wait_for(lambda: client.messages.report().reachable, "it knows the hub")
        assert kept(fresh) == before
        assert client.messages.take_hub().role == "hub"
    # It serves what the mesh has; what the hub before had not put there yet, that one hands on.
    wait_for(lambda: is_hub(fresh) and kept(fresh).keys() >= before.keys(), "all is there")
    assert kept(fresh) == before
    check_complete(fresh, mesh.agents)


def kept(machine: Machine) -> dict[str, tuple[Message, Marks]]:
    """All messages and their marks, as `machine` is told."""
    return {str(each.message.id): (each.message, each.marks) for each in stored(machine)}


def test_the_hook_runs_on_the_hub_with_the_message_on_its_input(mesh: MessageMesh) -> None:
    hub = mesh.hub()
    other = next(machine for machine in mesh.running() if machine is not hub)
    with other.connected() as client:
        (posted,) = client.messages.post_many([Draft("hooked", {"do": "$(touch /nowhere); --help"})])
    wait_for(lambda: stored(other, "hooked"), "it arrives")
    with other.connected() as client, pytest.raises(Conflict, match="no hook"):
        client.messages.execute(posted.id)
    program, seen = hub.home / "hook.sh", hub.home / "seen"
    may_end = hub.home / "may-end"
    wait = f'while [ ! -e "{may_end}" ]; do sleep 0.05; done'
    program.write_text(f'#!/bin/sh\ncat >> "{seen}"\necho "$#" >> "{seen}"\n{wait}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (hub.home / "config").mkdir(exist_ok=True)
    (hub.home / "config" / "hub.yaml").write_text(f"execute: [{program}]\nsnapshot_seconds: 2\n")
    hub.stop()
    hub.restart()
    wait_for(lambda: hub.status().alive == len(mesh.running()), "it sees the other")
    with hub.connected() as client:
        client.messages.take_hub()  # on a slow machine another one has taken over meanwhile
    assert mesh.hub() is hub
    with other.connected() as client, ThreadPoolExecutor(1) as pool:
        running = pool.submit(client.messages.execute, posted.id)
        wait_for(seen.exists, "the hook runs")
        with hub.connected() as second, pytest.raises(Conflict, match="runs for this message already"):
            second.messages.execute(posted.id)
        may_end.touch()
        running.result(30)
    line, arguments = seen.read_text().splitlines()
    assert Message.decode(line.encode()) == posted and arguments == "0"
    (after,) = stored(other, "hooked")
    assert after.marks.state == "executed"
