"""One real hub under pressure: an agent that floods it, one that writes faster than it may."""

from __future__ import annotations

import http.client
import json
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from e2e_machines import Machine, Machines, wait_for
from message_mesh import is_hub, stored

from inos.core.endpoint import read_endpoint
from inos.core.messages.sync import Batch
from inos.messages import open_agent
from inos.testing.corpus import message

pytestmark = pytest.mark.slow

RATE: Final = 400
# More than the API has connections.
FLOOD: Final = 140


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machines = Machines(tmp_path_factory.mktemp("hub"))
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
    found = stored(hub, "quiet")
    assert [each.message.content["n"] for each in found] == list(range(5))


def test_an_agent_over_its_rate_is_slowed_down_and_loses_nothing(hub: Machine) -> None:
    count = RATE * 4
    with open_agent("eager", home=hub.home) as agent:
        agent.append_drafts([agent.draft({"n": number}) for number in range(count)])
        assert agent.flush(60), agent.stats()
        assert agent.stats().failures > 0, "it was told to come later"
        assert "busy" in agent.stats().last_error or agent.stats().last_error == ""
    assert [each.message.content["n"] for each in stored(hub, "eager")] == list(range(count))
