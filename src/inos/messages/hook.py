"""The owner's hook for follow-up tasks: a command, run on the hub without a shell, given the message on its input.

    execute: ["/usr/local/bin/follow-up", "--quiet"]       in hub.yaml

The message goes in as one line of JSON on standard input, never as an argument: nothing in it can become an option or
a command. Time and output are bounded; what it printed goes into the log, and, where it failed, its end into the error.
"""

from __future__ import annotations

import logging
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
    try:
        process = await trio.lowlevel.open_process(
            list(hook.command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except OSError as error:
        raise Conflict(
            f"the hook cannot be run: {error.strerror or error}", hint="look at execute in config/hub.yaml on the hub"
        ) from None
    printed: list[bytes] = []
    with trio.move_on_after(hook.timeout_s) as scope:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_feed, process, message.encode() + b"\n")
                await _listen(process, printed)
            await process.wait()
        finally:
            await _end(process)
    text = b"".join(printed).decode("utf-8", "replace").strip()
    log.info("the hook for message %s ended with %s: %s", message.id, process.returncode, text[:_SHOWN_CHARS])
    if scope.cancelled_caught:
        raise Unavailable(
            f"the hook took longer than {hook.timeout_s} s",
            hint="it was ended; execute_timeout_seconds in config/hub.yaml",
        )
    if process.returncode:
        said = f": {text[-_SHOWN_CHARS:]}" if text else ""
        raise Conflict(f"the hook ended with exit code {process.returncode}{said}", hint="the message is not marked")


async def _feed(process: trio.Process, data: bytes) -> None:
    assert process.stdin is not None
    try:
        async with process.stdin:
            await process.stdin.send_all(data)
    except trio.BrokenResourceError:
        return  # it does not want to know


async def _listen(process: trio.Process, printed: list[bytes]) -> None:
    assert process.stdout is not None
    size = 0
    async for piece in process.stdout:
        size += len(piece)
        printed.append(piece[:_PIECE])
        if size > MAX_OUTPUT_BYTES:
            process.kill()
            return


async def _end(process: trio.Process) -> None:
    if process.returncode is None:
        process.kill()
    with trio.CancelScope(shield=True):
        await process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                await pipe.aclose()
