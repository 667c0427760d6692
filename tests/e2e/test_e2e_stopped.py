"""Commands against a node whose process was stopped: they say so in time, go on with it, or give up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from e2e_machines import Machine, Machines, pattern

from inos.cli.local_mesh import clean_environment, inos_command

TELL_S = 6.0  # 2 s, and the start of the command on a machine that does other things too


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machines = Machines(tmp_path_factory.mktemp("stopped"))
    try:
        yield machines.found("desk")
    finally:
        machines.stop()


@contextmanager
def stopped(machine: Machine) -> Iterator[None]:
    os.kill(machine.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(machine.pid, signal.SIGCONT)


def start(machine: Machine, *arguments: str) -> subprocess.Popen[str]:
    command = inos_command(*arguments, "--home", str(machine.home))
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=clean_environment())


def test_it_is_said_soon_and_goes_on_with_the_node(machine: Machine) -> None:
    machine.put(b"x", "/a")
    with stopped(machine):
        started_s = time.monotonic()
        process = start(machine, "ls")
        assert process.stderr is not None
        said, hint = process.stderr.readline(), process.stderr.readline()
        assert time.monotonic() - started_s < TELL_S
    out, rest = process.communicate(timeout=30)
    assert machine.ready["api"] in said
    assert f"(process {machine.pid}) does not answer yet" in said
    assert hint == f"hint: process {machine.pid} was stopped; to let it go on: kill -CONT {machine.pid}\n"
    assert (process.returncode, rest) == (0, "")
    assert out.endswith("/a\n")


def test_every_command_gives_up(machine: Machine, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(pattern(16 << 20))
    machine.put(b"x", "/a")
    commands = [("ls",), ("status",), ("put", str(big)), ("get", "/a", "-o", str(tmp_path / "out")), ("rm", "/a")]
    with stopped(machine):
        running = [start(machine, *command, "--json") for command in commands]
        for process in running:
            out, said = process.communicate(timeout=60)
            error = json.loads(said.splitlines()[-1])["error"]
            assert (process.returncode, out, error["code"]) == (1, "", "unavailable")
            assert f"(process {machine.pid}) has not answered for 30 s" in error["message"]
            assert error["hint"].endswith(f"kill -CONT {machine.pid}")
    assert machine.inos("put", str(big)).json["size"] == 16 << 20
