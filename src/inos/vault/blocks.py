"""Cutting a stream of byte strings of any size into blocks of the size asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator


class Blocks:
    """Reads `source` in exact block sizes. Holds at most one block and one source item."""

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self._source = source
        self._rest: list[bytes] = []
        self._rest_bytes = 0
        self._ended = False
        self.total_bytes = 0

    async def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer only at the end, none after it."""
        while self._rest_bytes < size and not self._ended:
            try:
                item = await anext(self._source)
            except StopAsyncIteration:
                self._ended = True
                break
            self._rest.append(item)
            self._rest_bytes += len(item)
        block, rest = _split(self._rest, size)
        self._rest = [rest] if rest else []
        self._rest_bytes = len(rest)
        self.total_bytes += len(block)
        return block

    def unread(self, block: bytes) -> None:
        """Give back what was read too early."""
        self._rest.insert(0, block)
        self._rest_bytes += len(block)
        self.total_bytes -= len(block)


def _split(items: list[bytes], size: int) -> tuple[bytes, bytes]:
    if len(items) == 1 and len(items[0]) <= size:
        return items[0], b""
    if not items:
        return b"", b""
    last = items[-1]
    before = sum(map(len, items)) - len(last)
    if before >= size:
        joined = b"".join(items)
        return joined[:size], joined[size:]
    cut = size - before
    return b"".join((*items[:-1], memoryview(last)[:cut])), last[cut:]
