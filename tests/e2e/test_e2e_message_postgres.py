"""A node whose hub keeps its corpus in PostgreSQL, by `config/hub.yaml`; the server is killed while agents write."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from e2e_machines import Machine, Machines, wait_for
from message_mesh import MessageMesh, all_ended, check_complete, is_hub, stored

from inos.cli.local_mesh import clean_environment, inos_command
from inos.core.errors import InosError
from inos.core.messages.query import MessageQuery
from postgres_server import PostgresServer, postgres_server

pytestmark = pytest.mark.slow
MESSAGES = 200


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


@pytest.fixture(scope="module")
def mesh(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MessageMesh]:
    machines = Machines(tmp_path_factory.mktemp("postgres"))
    desk = machines.make("desk")
    config = desk.home / "config" / "hub.yaml"
    config.parent.mkdir(exist_ok=True)
    config.write_text(f"store: {json.dumps(server.url)}\n")
    config.chmod(0o600)
    desk.options = (*desk.options, "--hub")
    mesh = MessageMesh(machines)
    try:
        desk.restart()
        wait_for(lambda: is_hub(desk), "it is the hub")
        yield mesh
    finally:
        mesh.close()


def test_a_hub_on_postgresql_works_and_outlives_the_death_of_its_server(
    mesh: MessageMesh, server: PostgresServer, tmp_path: Path
) -> None:
    (desk,) = mesh.machines.made
    with following(desk, tmp_path / "followed") as followed:
        agents = [mesh.agent(desk, f"pg-{number}", MESSAGES, 0.02) for number in range(2)]
        wait_for(lambda: len(stored(desk, "pg-1")) > 20, "the first messages")
        server.kill()
        wait_for(lambda: not is_hub(desk), "it says that the hub does not answer")
        with desk.connected() as client:
            posted = client.messages.post("poster", {"text": "a needle while the server was dead"})
        time.sleep(1.0)  # the agents write on meanwhile
        server.start()
        all_ended(agents)
        check_complete(desk, agents)
        wait_for(lambda: [each.message for each in stored(desk, "poster")] == [posted], "what was posted arrives")
        for agent in agents:
            wait_for(lambda name=agent.name: len(numbers(followed, name)) >= MESSAGES, "all were followed")  # type: ignore[misc]
            assert numbers(followed, agent.name) == list(range(MESSAGES)), "each once, in order"
    rows = server.run("SELECT count(*), max(seq) FROM inos.messages")
    assert rows == [(2 * MESSAGES + 1, 2 * MESSAGES + 1)], "in the database, once each"
    with desk.connected() as client:
        assert client.messages.report().store == "postgresql"
        (found,) = client.messages.page(MessageQuery(text="needle dead")).messages
        assert found.message == posted and "\x02needle\x03" in found.snippet
        client.messages.mark([posted.id], "acknowledged")
        page = client.messages.page(MessageQuery(agent="pg-0", state="unread", limit=7))
        assert [each.message.content["n"] for each in page.messages] == list(range(MESSAGES - 1, MESSAGES - 8, -1))
        assert client.messages.page(MessageQuery(state="acknowledged")).messages[0].message == posted
    assert "Traceback" not in (desk.home / "node.log").read_text()


def test_a_hub_whose_server_is_away_at_the_start_serves_when_it_comes(
    mesh: MessageMesh, server: PostgresServer
) -> None:
    (desk,) = mesh.machines.made
    desk.stop()
    server.kill()
    desk.restart()
    with desk.connected() as client:
        with pytest.raises(InosError):
            client.messages.unread()
        posted = client.messages.post("early", "before the server came")
    server.start()
    wait_for(lambda: is_hub(desk) and posted in [each.message for each in stored(desk, "early")], "it arrives")
    assert "Traceback" not in (desk.home / "node.log").read_text()


@contextmanager
def following(machine: Machine, out: Path) -> Iterator[Path]:
    """`inos msg tail --follow` at work; the file of its output."""
    command = inos_command("msg", "tail", "--follow", "--json", "--limit", "500", "--home", str(machine.home))
    with out.open("wb") as writing:
        process = subprocess.Popen(command, stdout=writing, stderr=subprocess.DEVNULL, env=clean_environment())
    try:
        yield out
    finally:
        process.terminate()
        process.wait()


def numbers(followed: Path, agent: str) -> list[int]:
    """The numbers of an agent's messages, as they were shown."""
    lines = [json.loads(line) for line in followed.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [line["message"]["content"]["n"] for line in lines if line["message"]["agent"] == agent]
