"""One component's process, seen from the node: started through its guard (`guard.py`), ended with the `with` block."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Final

import trio

from inos.components import guard
from inos.components.life import Ended
from inos.core.errors import Unavailable

# The guard's longest line is an endpoint; a line of an error is cut there.
_MAX_LINE: Final = 4096
# Beyond what the component is given to stop: for the guard to end what it left, and to say so.
_MARGIN_S: Final = 4.0


@dataclass(frozen=True, slots=True)
class Spec:
    """What the guard is told: command, folder to run in, environment, files, and how long stopping may take. The
    environment may hold a token, which is why it goes through a pipe and not as an argument."""

    argv: Sequence[str]
    folder: str
    env: Mapping[str, str]
    log: str
    lock: str
    stop_s: float


@dataclass(frozen=True, slots=True)
class Started:
    """It runs."""

    pid: int


@dataclass(frozen=True, slots=True)
class Beat:
    """It lives."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where it can be reached, as it says."""

    url: str


Said = Started | Beat | Endpoint | Ended


class Process:
    """A process that is being run. `said` ends after an `Ended`."""

    def __init__(self, guarding: trio.Process) -> None:
        self._guarding = guarding

    async def said(self) -> AsyncGenerator[Said, None]:
        """What happens to it, in order."""
        rest = b""
        output = self._guarding.stdout
        assert output is not None
        while data := await output.receive_some(_MAX_LINE):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if (said := _parsed(line.decode("utf-8", "replace"))) is not None:
                    yield said
            rest = rest[:_MAX_LINE]
        yield Ended(None, "its guard was killed")

    async def stop(self) -> None:
        """Ask it to end (SIGTERM)."""
        await self._order(b"stop\n")

    async def kill(self) -> None:
        """End it."""
        await self._order(b"kill\n")

    async def _order(self, line: bytes) -> None:
        assert self._guarding.stdin is not None
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._guarding.stdin.send_all(line)


def _parsed(line: str) -> Said | None:
    word, _, value = line.partition(" ")
    match word:
        case "started":
            return Started(int(value))
        case "beat":
            return Beat()
        case "endpoint":
            return Endpoint(value if value.isprintable() else "")
        case "exit":
            return Ended(int(value))
        case "failed":
            return Ended(None, value[:300])
    return None


@asynccontextmanager
async def open_process(spec: Spec) -> AsyncGenerator[Process, None]:
    """Run what `spec` says; at the end of the block it is ended, in order and within its `stop_s`, or by force."""
    # -S and -E: no packages, nothing from the environment; what the guard needs is in the standard library.
    command = [sys.executable, "-E", "-S", "-B", guard.__file__]
    try:
        guarding = await trio.lowlevel.open_process(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, env={}, cwd="/"
        )
    except OSError as error:
        raise Unavailable(
            f"cannot start a process: {error.strerror}", hint="the machine may be short of memory"
        ) from None
    process = Process(guarding)
    try:
        assert guarding.stdin is not None
        with suppress(trio.BrokenResourceError):
            await guarding.stdin.send_all(json.dumps(asdict(spec)).encode() + b"\n")
        yield process
    finally:
        with trio.CancelScope(shield=True):
            await _close(process, guarding, spec.stop_s)


async def _close(process: Process, guarding: trio.Process, stop_s: float) -> None:
    for order, wait_s in ((process.stop, stop_s), (process.kill, _MARGIN_S)):
        if guarding.poll() is None:
            await order()
            with trio.move_on_after(wait_s):
                await guarding.wait()
    if guarding.poll() is None:
        guarding.kill()
        await guarding.wait()
    assert guarding.stdin is not None and guarding.stdout is not None
    await guarding.stdin.aclose()
    await guarding.stdout.aclose()
