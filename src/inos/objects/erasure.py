"""Reed-Solomon stripes: k data chunks, m parity shards, any k of which give the rest back.

Shards of a stripe are numbered data first: 0..k-1, then k..k+m-1 for parity. Chunks shorter than the longest of their
stripe are read as if zeros followed; parity shards have the longest length. What is rebuilt is only as good as the
shards given: the caller verifies every input and output by its address.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from inos.core.errors import BadInput
from inos.objects import gf256, isal

MAX_SHARDS: Final = gf256.FIELD  # one field element names one shard


def encode_parity(chunks: Sequence[bytes], parity: int) -> list[bytes]:
    """`parity` shards for one stripe, each as long as the longest chunk."""
    data = len(chunks)
    _check(data, parity, [*map(len, chunks)])
    length = max(map(len, chunks))
    rows = [gf256.parity_row(index, data) for index in range(parity)]
    return isal.engine()(rows, _padded(chunks, length)) if rows else []


def rebuild(
    shards: Mapping[int, bytes], sizes: Sequence[int], data: int, parity: int, wanted: Collection[int]
) -> dict[int, bytes]:
    """The shards numbered in `wanted`, made from any `data` of `shards`. `data` is the number of chunks in this stripe
    (the last stripe of an object may have fewer) and `sizes` are their stored bytes. Raises BadInput when there are too
    few shards or one has the wrong length."""
    _check(data, parity, sizes)
    length = max(sizes)
    lengths = [*sizes, *[length] * parity]
    _check_shards(shards, lengths, wanted)
    result = {index: shards[index] for index in wanted if index in shards}
    absent = tuple(sorted(set(wanted) - result.keys()))
    if not absent:
        return result
    if len(shards) < data:
        raise BadInput(f"{len(shards)} shards are too few: this stripe needs any {data} of {data + parity}")
    present = tuple(sorted(shards)[:data])  # data first: every data chunk present is one fewer to solve for
    rows = gf256.recovery_rows(data, present, absent)
    made = isal.engine()(list(rows), _padded([shards[index] for index in present], length))
    return result | {index: shard[: lengths[index]] for index, shard in zip(absent, made, strict=True)}


def _check(data: int, parity: int, sizes: Sequence[int]) -> None:
    if data < 1 or parity < 0 or data + parity > MAX_SHARDS:
        raise BadInput(f"a stripe has 1 to {MAX_SHARDS} shards with at least one of data, got {data}+{parity}")
    if len(sizes) != data or min(sizes) < 1:
        raise BadInput(f"a stripe of {data} chunks has as many sizes, each at least 1 byte")


def _check_shards(shards: Mapping[int, bytes], lengths: Sequence[int], wanted: Collection[int]) -> None:
    for index in (*shards, *wanted):
        if not 0 <= index < len(lengths):
            raise BadInput(f"no shard {index} in a stripe of {len(lengths)}")
    for index, shard in shards.items():
        if len(shard) != lengths[index]:
            raise BadInput(f"shard {index} has {len(shard)} bytes, not {lengths[index]}")


def _padded(shards: Sequence[bytes], length: int) -> list[bytes]:
    return [shard if len(shard) == length else shard.ljust(length, b"\0") for shard in shards]
