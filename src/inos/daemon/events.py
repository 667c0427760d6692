"""What `inos up` prints while it runs: one JSON object a line, or a line for people.

The node must never depend on whoever reads this: a reader that went away silences it, and one that does not read loses
lines, because they are written from a bounded queue by a task that waits alone.
"""

from __future__ import annotations

import json
import logging
import os
import stat
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final, cast

import trio

from inos.core.env import Env
from inos.core.ids import PeerId

log = logging.getLogger(__name__)

# A mesh of 700 coming up at once, with room.
_MAX_WAITING: Final = 1024
_DRAIN_S: Final = 0.2


class Events:
    """Prints events. `run` does the writing; what is said before it runs waits."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._written = trio.Event()
        self._send, self._receive = trio.open_memory_channel[str](_MAX_WAITING)

    def say(self, event: str, **fields: object) -> None:
        """Print an event soon; dropped when nobody has read for long. Never blocks, never raises."""
        line = json.dumps({"event": event, **fields}) if self._as_json else _for_people(event, fields)
        try:
            self._send.send_nowait(line + "\n")
            self._written = trio.Event()
        except trio.WouldBlock:
            log.warning("an event is not printed, because nobody reads them: %s", event)

    async def run(self, env: Env) -> None:
        """Write what is said, until cancelled or nobody is left to read it."""
        async with AsyncExitStack() as stack:
            try:
                write = await _writer(stack, env)
            except (AttributeError, OSError, ValueError) as error:  # standard output is closed
                log.info("events are not printed: %s", error)
                return
            async for line in self._receive:
                try:
                    await write(line)
                    if not self._receive.statistics().current_buffer_used:
                        self._written.set()
                except (OSError, ValueError, trio.BrokenResourceError) as error:
                    log.info("events are no longer printed: %s", error)
                    return

    async def drained(self) -> None:
        """Wait a moment for what was said to be written."""
        with trio.move_on_after(_DRAIN_S):
            await self._written.wait()


async def _writer(stack: AsyncExitStack, env: Env) -> Callable[[str], Awaitable[None]]:
    """How to write a line without ever blocking: to a pipe only when it has room, to anything else in a thread (a
    thread stuck on a full pipe could not be cancelled)."""
    mode = os.fstat(sys.stdout.fileno()).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return lambda line: env.in_thread(_write, line)
    stream = await stack.enter_async_context(trio.lowlevel.FdStream(os.dup(sys.stdout.fileno())))
    return lambda line: stream.send_all(line.encode())


def _write(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


def _for_people(event: str, fields: dict[str, object]) -> str:
    if event == "ready":
        lines = [f"node {fields['node_name']} is up", f"  peer    {fields['peer_id']}", f"  api     {fields['api']}"]
        lines += [f"  listen  {address}" for address in cast(list[str], fields["listen"])]
        return "\n".join(lines)
    if event == "peer":
        return f"peer {PeerId(str(fields['peer_id'])).short()} is {fields['state']}"
    if event == "tier":
        return (
            f"the {fields['name']} tier is {fields['state']}: {fields['used_bytes']} of {fields['quota_bytes']} bytes"
        )
    return event
