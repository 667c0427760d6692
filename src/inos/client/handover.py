"""Handing open files to the node on this machine, which then reads or writes them itself.

Saves what HTTP costs: each byte is copied some six times less. The file's position, or its size, says how far the node
is.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import anyio

from inos.client.calls import Calls
from inos.client.http import ConnectionLost, Request, lost
from inos.client.progress import Progress
from inos.client.tasks import first_error
from inos.core.reports import PutReport, from_dict

# Below this a connection of its own is not worth it.
FROM_BYTES: Final = 1 << 20
# A read begins with an answer that already brings content; what came of it in vain must not matter.
WRITE_FROM_BYTES: Final = 32 << 20
_FOLLOW_S: Final = 0.1


class Handover:
    """Requests along with an open file. Each raises NoHandover when the node takes none, having done nothing."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def store(self, descriptor: int, size: int, query: Mapping[str, str], progress: Progress) -> PutReport:
        """Store the next `size` bytes of a file."""
        request = Request("POST", "/v1/objects:store", {**query, "size": str(size)}, descriptor=descriptor)
        start = os.lseek(descriptor, 0, os.SEEK_CUR)
        try:
            async with self._followed(progress, lambda: os.lseek(descriptor, 0, os.SEEK_CUR) - start):
                return from_dict(PutReport, await self._answer(request))
        except ConnectionLost as error:  # it may have been stored or not: repeating it is the caller's business
            raise lost(error) from None

    async def write(self, descriptor: int, target: str, start: int, progress: Progress) -> None:
        """Have an object written into a file that ends at `start`, from there on. Raises ConnectionLost as well."""
        query = {"target": target, "start": str(start)}
        request = Request("POST", "/v1/objects:write", query, descriptor=descriptor)
        async with self._followed(progress, lambda: os.fstat(descriptor).st_size - start):
            await self._answer(request)

    async def _answer(self, request: Request) -> object:
        async with self._calls.response(request) as response:
            return await response.json()

    @asynccontextmanager
    async def _followed(self, progress: Progress, position: Callable[[], int]) -> AsyncGenerator[None, None]:
        done = 0

        def look() -> None:
            nonlocal done
            now = position()
            if now > done:
                progress.advance(now - done)
                self._calls.saw_life()
                done = now

        async def follow() -> None:
            while True:
                await anyio.sleep(_FOLLOW_S)
                look()

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(follow)
                yield
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as errors:
            raise first_error(errors) from None
        finally:
            look()
