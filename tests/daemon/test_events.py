"""What `inos up` prints: every line while somebody reads, and never a wait for somebody who does not."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from inos.core.env import RealEnv
from inos.daemon.events import Events
from inos.testing.run import trio_test

PEER = "12D3KooWEBQSDQBPHGbuB9ScuHhnM9sF97wZ7dUYaKYdsPV5sZcM"


@contextmanager
def printing_to(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with os.fdopen(descriptor, "w") as out, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        yield


async def say(events: Events, *names: str) -> None:
    """Say them, and wait until they are written or nobody reads."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(events.run, RealEnv())
        for name in names:
            events.say(name, number=1)
        with trio.fail_after(5):
            await events.drained()
        nursery.cancel_scope.cancel()


def test_a_file_gets_one_object_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "events"
    with printing_to(os.open(out, os.O_CREAT | os.O_WRONLY), monkeypatch):
        trio.run(say, Events(as_json=True), "ready", "stopping")
    assert [json.loads(line) for line in out.read_text().splitlines()] == [
        {"event": "ready", "number": 1},
        {"event": "stopping", "number": 1},
    ]


def test_a_pipe_gets_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as reader:
        with printing_to(write_end, monkeypatch):
            trio.run(say, Events(as_json=True), "stopping")
        assert json.loads(reader.read()) == {"event": "stopping", "number": 1}


def test_a_reader_who_left_or_does_not_read_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read_end, write_end = os.pipe()
    with printing_to(write_end, monkeypatch):
        trio.run(say, Events(as_json=True), *(["much"] * 5000))  # more than the pipe and the queue take
        assert "nobody reads" in caplog.text
        os.close(read_end)
        trio.run(say, Events(as_json=True), "gone", "gone")


@trio_test
async def test_without_standard_output_nothing_is_said_and_nothing_fails() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        await say(Events(as_json=True), "ready")


def test_lines_for_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        events = Events(as_json=False)
        events.say("ready", node_name="attic", peer_id=PEER, api="http://127.0.0.1:1", listen=["/a", "/b"])
        events.say("peer", peer_id=PEER, state="failed")
        await say(events, "stopping")

    out = tmp_path / "events"
    with printing_to(os.open(out, os.O_CREAT | os.O_WRONLY), monkeypatch):
        trio.run(main)
    lines = out.read_text().splitlines()
    assert lines[0] == "node attic is up"
    assert [line.split() for line in lines[1:5]] == [
        ["peer", PEER],
        ["api", "http://127.0.0.1:1"],
        ["listen", "/a"],
        ["listen", "/b"],
    ]
    assert lines[5].startswith("peer ") and lines[5].endswith(" is failed") and PEER not in lines[5]
    assert lines[6:] == ["stopping"]
