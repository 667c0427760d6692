"""One real hub under pressure: an agent that floods it, one that writes faster than it may, disks that are full, clocks
that jump, what comes twice or out of order; and the metrics it shows of it all."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

sys.path.append(str(Path(__file__).parent.parent / "soak"))

from e2e_machines import Machine, Machines, wait_for
from message_mesh import is_hub, stored
from prometheus_client.parser import text_string_to_metric_families
from small_disk import Limited, Mounted, SmallDisk, small_disk

from inos.cli.local_mesh import clean_environment
from inos.core.endpoint import read_endpoint
from inos.core.messages.sync import Batch
from inos.messages import open_agent
from inos.testing.corpus import message

pytestmark = pytest.mark.slow

DISK_MB: Final = 150
AGENT_DISK_MB: Final = 20
DEPLOY: Final = Path(__file__).resolve().parents[2] / "deploy"
FILLING: Final = Path(__file__).with_name("filling_agent.py")
RATE: Final = 400
# More than the API has connections.
FLOOD: Final = 140


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with small_disk(tmp_path_factory.mktemp("hub") / "disk", DISK_MB) as disk:
        yield from running_on(disk.folder)


def running_on(folder: Path) -> Iterator[Machine]:
    machines = Machines(folder)
    machine = machines.make("desk")
    (machine.home / "config").mkdir(exist_ok=True)
    (machine.home / "config" / "hub.yaml").write_text(f"agent_messages_per_second: {RATE}\nsnapshot_seconds: 1\n")
    machine.options = (*machine.options, "--hub")
    machine.restart()
    try:
        wait_for(lambda: is_hub(machine), "it is the hub")
        yield machine
    finally:
        machines.stop()


class Caller:
    """One connection to the hub, kept as long as the hub keeps it."""

    def __init__(self, machine: Machine) -> None:
        endpoint = read_endpoint(machine.home)
        self._http = http.client.HTTPConnection(urlsplit(endpoint.url).netloc, timeout=30)
        self._headers = {"authorization": f"Bearer {endpoint.token}", "content-type": "application/json"}

    def __call__(self, method: str, path: str, body: bytes = b"") -> tuple[int, http.client.HTTPMessage, Any]:
        self._http.request(method, path, body, self._headers)
        answer = self._http.getresponse()
        read = answer.read()
        return answer.status, answer.headers, read if path == "/metrics" else json.loads(read)

    def close(self) -> None:
        self._http.close()


@contextmanager
def flooding(hub: Machine) -> Iterator[Counter[tuple[int, str]]]:
    """An agent that posts without a pause over FLOOD connections, batches on some of them; how it was answered."""
    stop, answers, first = threading.Event(), Counter[tuple[int, str]](), threading.Semaphore(0)

    def flood(number: int) -> None:
        numbers, caller = iter(range((number + 1) * 1_000_000, sys.maxsize)), Caller(hub)
        while not stop.is_set():
            some = tuple(message(next(numbers), agent="flood") for _ in range(1 if number % 2 else 20))
            try:
                if number % 2:
                    status, headers, _ = caller("POST", "/sync/message", some[0].encode())
                else:
                    status, headers, _ = caller("POST", "/sync/messages", Batch("b", "n", some).encode())
            except (OSError, http.client.HTTPException):  # its turn did not come, or was its last
                caller.close()
                continue
            answers[status, headers.get("retry-after", "")] += 1
            first.release()
        caller.close()

    threads = [threading.Thread(target=flood, args=(number,)) for number in range(FLOOD)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(FLOOD):
            first.acquire(timeout=30)
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_one_agent_that_floods_does_not_starve_the_others(hub: Machine) -> None:
    with flooding(hub) as answers, open_agent("quiet", home=hub.home) as agent:
        statuses = []
        for number in range(5):
            caller = Caller(hub)  # a new one each time, as programs that post now and then have
            statuses.append(caller("POST", "/sync/message", message(number, agent="now-and-then").encode())[0])
            caller.close()
            agent.append({"n": number})
        assert agent.flush(30), agent.stats()
        assert statuses == [200] * 5
        assert agent.stats().failures == 0, agent.stats()
    told = {status for status, _ in answers}
    assert told == {200, 429}, answers
    assert all(re.fullmatch("[1-9][0-9]*", pause) for status, pause in answers if status == 429), answers
    assert numbers(hub, "quiet") == list(range(5))


def test_an_agent_over_its_rate_is_slowed_down_and_loses_nothing(hub: Machine) -> None:
    count = RATE * 4
    with open_agent("eager", home=hub.home) as agent:
        agent.append_drafts([agent.draft({"n": number}) for number in range(count)])
        assert agent.flush(60), agent.stats()
        assert agent.stats().failures > 0, "it was told to come later"
        assert "busy" in agent.stats().last_error or agent.stats().last_error == ""
    assert numbers(hub, "eager") == list(range(count))


@pytest.mark.parametrize("kind", [Mounted, Limited])
def test_a_hub_whose_disk_is_full_says_so_and_agents_keep_everything(hub: Machine, tmp_path: Path, kind: Any) -> None:
    disk: SmallDisk = kind(hub.home.parent) if hub.home.parent.is_mount() else Limited(hub.home.parent)
    patient, direct = f"patient-{kind.__name__}", f"direct-{kind.__name__}"
    with open_agent(patient, home=hub.home, folder=tmp_path / "cache") as agent:
        write(agent, 0, 5)
        assert agent.flush(30)
        disk.fill(hub.pid)
        try:
            taken = until_refused(hub, direct)
            write(agent, 5, 30)
            wait_for(lambda: agent.stats().last_error.startswith("storage_full"), "the agent is told")
            there = numbers(hub, patient)  # it still reads; a short one may have found room in a page that was there
            assert there == list(range(len(there))) and 5 <= len(there) < 30
            wait_for(
                lambda: len(numbers(hub, patient)) + agent.stats().cache.pending == 30, "one or the other has each"
            )
            assert agent.stats().cache.pending > 0 and agent.stats().cache.parked == 0
        finally:
            disk.free(hub.pid)
        assert agent.flush(60), agent.stats()
    assert numbers(hub, patient) == list(range(30))
    assert numbers(hub, direct) == list(range(taken)), "all it acknowledged, nothing that it refused"
    assert hub.running and "Traceback" not in (hub.home / "node.log").read_text()


def numbers(hub: Machine, agent: str) -> list[int]:
    """The numbers of the agent's messages on the hub, in the order of arrival."""
    return [each.message.content["n"] for each in stored(hub, agent)]


def test_an_agent_whose_clock_jumps_keeps_its_order(hub: Machine, tmp_path: Path) -> None:
    with filling(hub, "jumping", tmp_path / "cache") as (_, tell):
        for ahead_s in (0, 864_000, -864_000, 3_600, 0):
            tell(f"clock {ahead_s}")
            tell("write 3")
        assert tell("flush") is True
        assert tell("read") == list(range(15))
    found = [each.message for each in stored(hub, "jumping")]
    assert [each.content["n"] for each in found] == list(range(15))
    ids, times = [str(each.id) for each in found], [each.time_ms for each in found]
    assert ids == sorted(set(ids)), "ids grow whatever the clock does"
    assert times != sorted(times), "and the times are those that the clock showed"


def test_what_comes_twice_or_out_of_order_is_stored_once(hub: Machine) -> None:
    base = 990_000
    messages = [message(base + number, agent="shuffled", content={"n": number}) for number in range(6)]
    caller = Caller(hub)

    def fates(*numbers: int) -> list[str]:
        body = Batch("b", "n", tuple(messages[number] for number in numbers)).encode()
        status, _, answer = caller("POST", "/sync/messages", body)
        assert status == 200, answer
        return [each["status"] for each in answer["results"]]

    assert fates(5, 3, 5) == ["stored", "stored", "duplicate"]
    assert fates(3, 0, 1, 0) == ["duplicate", "stored", "stored", "duplicate"]
    assert caller("POST", "/sync/message", messages[4].encode())[2]["status"] == "stored"
    assert fates(0, 1, 2, 3, 4, 5) == ["duplicate"] * 2 + ["stored"] + ["duplicate"] * 3
    assert numbers(hub, "shuffled") == [5, 3, 0, 1, 4, 2], "each once, where it first came"
    other = message(base + 2, agent="shuffled", content={"n": "another"})
    status, _, answer = caller("POST", "/sync/message", other.encode())
    assert (status, answer["error"]["code"]) == (409, "conflict")
    caller.close()


def write(agent: Any, first: int, end: int) -> None:
    for number in range(first, end):
        agent.append({"n": number, "text": "words " * 500})


def until_refused(hub: Machine, name: str) -> int:
    """Post to a hub without room until it says so; how many it had acknowledged by then."""
    caller, base = Caller(hub), 1 + zlib.crc32(name.encode()) % 1000 * 10_000
    for number in range(2_000):
        body = message(base + number, agent=name, content={"n": number, "text": f"{number} " * 5_000}).encode()
        status, _, answer = caller("POST", "/sync/message", body)
        if status != 200:
            assert (status, answer["error"]["code"], answer["error"]["retryable"]) == (507, "storage_full", True)
            assert answer["error"]["hint"]
            caller.close()
            return number
    raise AssertionError("the disk never got full")


@pytest.mark.parametrize("kind", ["mounted", "limited"])
def test_an_agent_whose_disk_is_full_says_so_and_writes_nothing_by_halves(
    hub: Machine, tmp_path: Path, kind: str
) -> None:
    name = f"filling-{kind}"
    with small_disk(tmp_path / "disk", AGENT_DISK_MB) as mounted:
        disk: SmallDisk = mounted if kind == "mounted" else Limited(mounted.folder)
        with filling(hub, name, disk.folder / "cache") as (pid, tell):
            assert tell("write 20") == {"written": 20, "error": None}
            disk.fill(pid)
            full = tell("write 5000")
            assert full["error"]["code"] == "storage_full" and full["error"]["hint"], full
            assert tell("read") == list(range(full["written"])), "all that was taken, nothing of what was not"
            assert tell("write 1")["error"]["code"] == "storage_full"
            disk.free(pid)
            assert tell("write 20") == {"written": full["written"] + 20, "error": None}
            assert tell("flush") is True
            assert tell("read") == list(range(full["written"] + 20))
    assert numbers(hub, name) == list(range(full["written"] + 20))


@contextmanager
def filling(hub: Machine, name: str, folder: Path) -> Iterator[tuple[int, Callable[[str], Any]]]:
    """An agent as a process of its own: its pid, and how to tell it what to do."""
    with subprocess.Popen(
        [sys.executable, str(FILLING), str(hub.home), name, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment(),
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "ready\n"

        def tell(what: str) -> Any:
            assert process.stdin is not None and process.stdout is not None
            print(what, file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        try:
            yield process.pid, tell
            process.stdin.close()
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_the_metrics_say_what_happens_and_the_dashboard_asks_for_nothing_else(hub: Machine) -> None:
    with hub.connected() as mesh:
        mesh.messages.post("measured", "a message that this node keeps")
    samples = metrics(hub)
    assert samples["cache_bytes_used", "desk", "measured"] > 0
    wait_for(lambda: metrics(hub)["outbox_queue_depth", "desk", "measured"] == 0, "the hub has it")
    samples = metrics(hub)
    assert samples["sync_lag_seconds", "desk"] == 0 and samples["sync_failures_total", "desk"] >= 0
    with open_agent("growing", home=hub.home) as agent:
        write(agent, 0, 50)
        wait_for(lambda: metrics(hub)["htpc_write_throughput_bytes", "desk"] > 0, "the corpus grows")
    shown = list(exposed(hub))
    for expression in expressions():
        for name, matchers in re.findall(r"\b([a-z_]+)\{([^}]*)\}", expression):
            wanted = re.findall(r'(\w+)(=~|=)"([^"]*)"', matchers)
            assert any(
                each.name == name and all(label == "instance" or fits(each, label, *how) for label, *how in wanted)
                for each in shown
            ), f"no node shows {name}{{{matchers}}}, which the dashboard asks for"


def fits(sample: Any, label: str, how: str, value: str) -> bool:
    """Whether a sample has such a label."""
    found = sample.labels.get(label, "")
    return found == value if how == "=" else re.fullmatch(value, found) is not None


def exposed(hub: Machine) -> Iterator[Any]:
    """Every sample of a running node."""
    caller = Caller(hub)
    try:
        for family in text_string_to_metric_families(caller("GET", "/metrics")[2].decode()):
            yield from family.samples
    finally:
        caller.close()


def metrics(hub: Machine) -> dict[tuple[str, ...], float]:
    """What is of messages, by name, node and agent."""
    return {
        (each.name, *(each.labels[name] for name in ("node", "agent") if name in each.labels)): each.value
        for each in exposed(hub)
    }


def expressions() -> list[str]:
    """All that the dashboard asks Prometheus for."""
    panels = json.loads((DEPLOY / "grafana-inos.json").read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    assert len(found) > 10
    return found
