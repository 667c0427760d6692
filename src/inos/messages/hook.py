"""The owner's hook for follow-up tasks: a command, run on the hub without a shell, given the message on its input.

    execute: ["/usr/local/bin/follow-up", "--quiet"]       in hub.yaml

The message goes in as one line of JSON on standard input, never as an argument: nothing in it can become an option or
a command. Time and output are bounded; what it printed goes into the log, and, where it failed, its end into the error.

It is judged by its own exit code. What it leaves running in the background goes on and is waited for by nobody; when it
is ended for its time or its output, all that it started ends with it.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from dataclasses import dataclass
from typing import Final

import trio

from inos.core.errors import BadInput, Conflict, Unavailable
from inos.core.messages.message import Message

log = logging.getLogger(__name__)

DEFAULT_TIMEOUT_S: Final = 60
MAX_TIMEOUT_S: Final = 600
# Of standard output and error together; beyond it the command is ended.
MAX_OUTPUT_BYTES: Final = 64 << 10
_SHOWN_CHARS: Final = 300
_PIECE: Final = 4096
# How long the rest of what it printed is waited for once it ended: what it left running may hold the pipe for ever.
_LAST_WORDS_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Hook:
    """A command and how long it may take."""

    command: tuple[str, ...]
    timeout_s: int = DEFAULT_TIMEOUT_S

    def __post_init__(self) -> None:
        if not self.command or not all(isinstance(each, str) and each and "\0" not in each for each in self.command):
            raise BadInput("execute is a list of words: a program and its arguments", hint='such as ["/path/to/it"]')
        if not isinstance(self.timeout_s, int) or not 1 <= self.timeout_s <= MAX_TIMEOUT_S:
            raise BadInput(f"execute_timeout_seconds must be a whole number from 1 to {MAX_TIMEOUT_S}")


async def run_hook(hook: Hook, message: Message) -> None:
    """Run it for one message; returns when it ended well. Raises Conflict when it did not, or cannot be run;
    Unavailable when it took too long."""
    run = _Run(await _started(hook))
    with trio.move_on_after(hook.timeout_s) as scope:
        try:
            await run.until_ended(message.encode() + b"\n")
        finally:
            await run.end()
    log.info("the hook for message %s ended with %s: %s", message.id, run.exit_code, run.text[:_SHOWN_CHARS])
    if scope.cancelled_caught:
        raise Unavailable(
            f"the hook took longer than {hook.timeout_s} s",
            hint="it was ended; execute_timeout_seconds in config/hub.yaml",
        )
    if run.is_too_long:
        raise Conflict(
            f"the hook printed more than {MAX_OUTPUT_BYTES >> 10} KiB", hint="it was ended; the message is not marked"
        )
    if run.exit_code:
        said = f": {run.text[-_SHOWN_CHARS:]}" if run.text else ""
        raise Conflict(f"the hook ended with exit code {run.exit_code}{said}", hint="the message is not marked")


async def _started(hook: Hook) -> trio.Process:
    try:
        return await trio.lowlevel.open_process(
            list(hook.command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise Conflict(
            f"the hook cannot be run: {error.strerror or error}", hint="look at execute in config/hub.yaml on the hub"
        ) from None


class _Run:
    """One run of a hook, in a session of its own."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._printed = bytearray()
        self.is_too_long = False

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode

    @property
    def text(self) -> str:
        return self._printed.decode("utf-8", "replace").strip()

    async def until_ended(self, data: bytes) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._feed, data)
            nursery.start_soon(self._listen)
            await self._process.wait()
            nursery.cancel_scope.deadline = trio.current_time() + _LAST_WORDS_S

    async def end(self) -> None:
        """With all that it started, unless it ended by itself."""
        if self.exit_code is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        with trio.CancelScope(shield=True):
            await self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    await pipe.aclose()

    async def _feed(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            async with self._process.stdin:
                await self._process.stdin.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # it does not want to know

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        size = 0
        async for piece in self._process.stdout:
            size += len(piece)
            self._printed += piece[:_PIECE]
            if size > MAX_OUTPUT_BYTES:
                self.is_too_long = True
                await self.end()
                return
