"""Three nodes of one owner with a hub among them, and agents that write through them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from e2e_machines import Machine, Machines, wait_for

from inos.cli.local_mesh import clean_environment
from inos.core.errors import InosError
from inos.core.messages.query import MessageQuery, StoredMessage

PROGRAM: Final = Path(__file__).with_name("message_agent.py")
DRAINED_S: Final = 100.0


@dataclass(slots=True)
class AgentProcess:
    """An agent on one machine. What it said was acknowledged stays known when it is killed. With `until` it writes, at
    most `count`, until there is such a file."""

    machine: Machine
    name: str
    count: int
    pause_s: float
    said: Path
    until: Path | None = None
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.said.open("ab") as said:
            self.process = subprocess.Popen(
                [sys.executable, str(PROGRAM), str(self.machine.home), self.name, str(self.count), str(self.pause_s),
                 *([] if self.until is None else [str(self.until)])],
                stdout=said, stderr=subprocess.DEVNULL, env=clean_environment(),
            )  # fmt: skip

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def ended(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None

    def acknowledged(self) -> list[str]:
        """Ids of its messages, in order; the last line may have been cut off."""
        return [line for line in self.said.read_text().splitlines() if len(line) == 36]


@dataclass(slots=True)
class MessageMesh:
    """desk founded it and is the hub; laptop and shelf stand by."""

    machines: Machines
    agents: list[AgentProcess] = field(default_factory=list)

    @classmethod
    def open(cls, folder: Path) -> MessageMesh:
        machines = Machines(folder)
        plain = machines.options
        machines.options = (*plain, "--hub")
        desk = machines.found("desk")
        machines.options = (*plain, "--standby")
        machines.join(desk, *(machines.make(name, phrase=desk.phrase) for name in ("laptop", "shelf")))
        return cls(machines)

    def close(self) -> None:
        for agent in self.agents:
            if agent.process is not None and not agent.ended():
                agent.kill()
        self.machines.stop()

    def agent(
        self, machine: Machine, name: str, count: int, pause_s: float = 0.0, until: Path | None = None
    ) -> AgentProcess:
        agent = AgentProcess(machine, name, count, pause_s, self.machines.folder / f"{name}.said", until)
        agent.start()
        self.agents.append(agent)
        return agent

    def hub(self, *, within_s: float = DRAINED_S) -> Machine:
        """The machine that is the hub and answers."""
        found: list[Machine] = []

        def look() -> bool:
            found.clear()
            found.extend(machine for machine in self.running() if is_hub(machine))
            return len(found) == 1

        wait_for(look, "one hub", within_s)
        return found[0]

    def running(self) -> list[Machine]:
        return [machine for machine in self.machines.made if machine.running]


def is_hub(machine: Machine) -> bool:
    try:
        with machine.connected() as mesh:
            report = mesh.messages.report()
    except InosError:
        return False
    return report.role == "hub" and report.reachable


def stored(machine: Machine, agent: str = "") -> list[StoredMessage]:
    """What the hub has, as `machine` is told, in the order of arrival."""
    with machine.connected() as mesh:
        return list(mesh.messages.find(MessageQuery(agent=agent, order="oldest", limit=500)))


def check_complete(machine: Machine, agents: Sequence[AgentProcess]) -> None:
    """Everything that was acknowledged is on the hub, once, in order."""
    for agent in agents:
        found = stored(machine, agent.name)
        count = agent.count if agent.until is None else len(found)
        assert [each.message.content["n"] for each in found] == list(range(count)), agent.name
        ids = [str(each.message.id) for each in found]
        assert len(set(ids)) == len(ids) and ids == sorted(ids)
        missing = set(agent.acknowledged()) - set(ids)
        assert not missing, f"{len(missing)} acknowledged messages of {agent.name} are lost"


def all_ended(agents: Sequence[AgentProcess], within_s: float = DRAINED_S) -> None:
    wait_for(lambda: all(agent.ended() for agent in agents), "all agents have ended", within_s)
