"""The `inos` command as a user runs it: a real process, against a served node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from inos.core.env import RealEnv
from inos.testing.memory_service import MemoryService
from served import Served, served


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> Any:
        """The JSON error of a command that failed."""
        assert self.code == 1 and self.out == b"", self
        return json.loads(self.err)["error"]


@dataclass(frozen=True)
class Inos:
    """Runs `inos …` in `cwd`."""

    home: Path
    cwd: Path
    env: dict[str, str] = field(default_factory=dict)

    def popen(self, *arguments: str | bytes, **options: Any) -> subprocess.Popen[Any]:
        environment = {
            name: value for name, value in os.environ.items() if name != "NO_COLOR" and not name.startswith("INOS_")
        }
        environment |= {"INOS_HOME": str(self.home), "COLUMNS": "120"} | self.env
        command = [sys.executable, "-m", "inos", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL} | options
        return subprocess.Popen(command, env=environment, cwd=self.cwd, **pipes)

    def __call__(self, *arguments: str | bytes, stdin: bytes | None = None) -> Done:
        options = {} if stdin is None else {"stdin": subprocess.PIPE}
        with self.popen(*arguments, **options) as process:
            out, err = process.communicate(stdin, timeout=60)
        done = Done(process.returncode, out, err.decode())
        assert "Traceback" not in done.err and b"Traceback" not in out, done
        return done


@pytest.fixture
def service() -> MemoryService:
    return MemoryService(RealEnv())


@pytest.fixture
def node(service: MemoryService, tmp_path: Path) -> Iterator[Served]:
    with served(service, tmp_path / "home") as running:
        yield running


@pytest.fixture
def inos(node: Served, tmp_path: Path) -> Inos:
    """The command, with a node to talk to, in an empty folder."""
    (tmp_path / "cwd").mkdir()
    return Inos(node.home, tmp_path / "cwd")


@pytest.fixture
def alone(tmp_path: Path) -> Inos:
    """The command where no node runs."""
    (tmp_path / "cwd").mkdir()
    return Inos(tmp_path / "home", tmp_path / "cwd")
