"""Arithmetic over GF(2^8) and the coefficients of the erasure code. Owns the matrix; the bulk work is in `isal.py`.

The field has the polynomial 0x11d and generator 2, as ISA-L and most storage systems use. Parity shard r of a stripe is

    parity[r] = sum over j of  inverse((255 - r) xor j) * data[j]

a Cauchy matrix: every square part of it can be inverted, so any k of the k+m shards give back the rest. Points for
parity count down from 255 and points for data up from 0, so a coefficient depends on neither k nor m. A shorter stripe
is then the same code with absent chunks read as zeros, and parity can be added later without touching what exists.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

_POLYNOMIAL: Final = 0x11D
FIELD: Final = 256


def _double(value: int) -> int:
    return (value << 1) ^ (_POLYNOMIAL if value & 0x80 else 0)


def _powers() -> tuple[bytes, bytes]:
    exponent, logarithm, value = bytearray(2 * FIELD), bytearray(FIELD), 1
    for power in range(FIELD - 1):
        exponent[power] = exponent[power + FIELD - 1] = value
        logarithm[value] = power
        value = _double(value)
    return bytes(exponent), bytes(logarithm)


_EXPONENT, _LOGARITHM = _powers()


def multiply(left: int, right: int) -> int:
    return _EXPONENT[_LOGARITHM[left] + _LOGARITHM[right]] if left and right else 0


def inverse(value: int) -> int:
    """The reciprocal of a nonzero element."""
    return _EXPONENT[FIELD - 1 - _LOGARITHM[value]]


def scale(row: bytes, factor: int) -> bytes:
    return row.translate(_TIMES[factor])


def add(left: bytes, right: bytes) -> bytes:
    """Sum of two rows of one length (addition in this field is exclusive or)."""
    return (int.from_bytes(left, "little") ^ int.from_bytes(right, "little")).to_bytes(len(left), "little")


def _multiples() -> tuple[bytes, ...]:
    """Each row is twice that of half its number, and once more: 65,000 single products would take a start 15 ms."""
    once, twice = bytes(range(FIELD)), bytes(map(_double, range(FIELD)))
    rows = [bytes(FIELD), once]
    for factor in range(2, FIELD):
        even = rows[factor // 2].translate(twice)
        rows.append(add(even, once) if factor % 2 else even)
    return tuple(rows)


# 64 KiB in all: row c maps every byte to c times it, so that bytes.translate multiplies a whole row or shard by c.
_TIMES: Final = _multiples()


def combine(rows: list[bytes], sources: list[bytes]) -> list[bytes]:
    """For each row of coefficients, the sum of coefficient * source. Sources have one length. About 0.1 GB/s: the
    reference the fast engine is tested against, and what runs where there is no ISA-L."""
    results = []
    for row in rows:
        total = bytes(len(sources[0]))
        for factor, source in zip(row, sources, strict=True):
            if factor:
                total = add(total, scale(source, factor))
        results.append(total)
    return results


def parity_row(index: int, data: int) -> bytes:
    """Coefficients of parity shard `index` (from 0) over `data` chunks."""
    return bytes(inverse((FIELD - 1 - index) ^ column) for column in range(data))


def invert(matrix: list[bytes]) -> list[bytes]:
    """Inverse of a square matrix that has one, by Gauss-Jordan elimination."""
    size = len(matrix)
    wide = [row + _unit(index, size) for index, row in enumerate(matrix)]
    for pivot in range(size):
        found = next(index for index in range(pivot, size) if wide[index][pivot])
        wide[pivot], wide[found] = wide[found], wide[pivot]
        wide[pivot] = scale(wide[pivot], inverse(wide[pivot][pivot]))
        for index in range(size):
            if index != pivot and wide[index][pivot]:
                wide[index] = add(wide[index], scale(wide[pivot], wide[index][pivot]))
    return [row[size:] for row in wide]


def _unit(index: int, size: int) -> bytes:
    return bytes(int(column == index) for column in range(size))


@lru_cache(maxsize=512)
def recovery_rows(data: int, present: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[bytes, ...]:
    """Coefficients that make each shard of `wanted` from `present`: exactly `data` shards, ascending, those from index
    `data` up being parity. Cached, because stripes that lost the same shards share them."""
    known = [index for index in present if index < data]
    missing = [index for index in range(data) if index not in set(known)]
    parity = [parity_row(index - data, data) for index in present[len(known) :]]
    # parity = known part + missing part, so missing = inverse(missing part) * (parity + known part).
    solved = invert([_pick(row, missing) for row in parity])
    known_parts = [_pick(row, known) for row in parity]
    recovered = [head + tail for head, tail in zip(combine(solved, known_parts), solved, strict=True)]
    rows = {index: _unit(position, data) for position, index in enumerate(known)}
    rows.update(zip(missing, recovered, strict=True))
    whole = [rows[index] for index in range(data)]
    return tuple(
        rows[index] if index < data else combine([parity_row(index - data, data)], whole)[0] for index in wanted
    )


def _pick(row: bytes, columns: list[int]) -> bytes:
    return bytes(row[column] for column in columns)
