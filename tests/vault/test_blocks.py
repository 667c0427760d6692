"""Cutting a stream into blocks: the bytes are the same, and every block but the last is as long as asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import trio
from hypothesis import given
from hypothesis import strategies as st

from inos.vault.blocks import Blocks


async def source(items: Sequence[bytes]) -> AsyncIterator[bytes]:
    for item in items:
        await trio.lowlevel.checkpoint()
        yield item


@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(1, 50), min_size=1))
def test_blocks(items: list[bytes], sizes: list[int]) -> None:
    whole = b"".join(items)

    async def main() -> None:
        blocks, turn = Blocks(source(items)), 0
        found: list[bytes] = []
        while block := await blocks.read(size := sizes[turn % len(sizes)]):
            assert len(block) == size or sum(map(len, found)) + len(block) == len(whole)
            found.append(block)
            turn += 1
            assert blocks.total_bytes == sum(map(len, found))
        assert b"".join(found) == whole
        assert await blocks.read(5) == b""

    trio.run(main)


@given(st.lists(st.binary(max_size=40)), st.integers(1, 30), st.integers(1, 30))
def test_what_is_given_back_is_read_again(items: list[bytes], first: int, then: int) -> None:
    async def main() -> None:
        blocks = Blocks(source(items))
        head = await blocks.read(first)
        blocks.unread(head)
        assert blocks.total_bytes == 0
        found = b""
        while block := await blocks.read(then):
            found += block
        assert found == b"".join(items)

    trio.run(main)
