"""Merkle tree over addresses: one root for all chunks of an object, and short proofs that one belongs to it.

Shape and domain separation are those of RFC 6962, with BLAKE3 for SHA-256: leaf = H(0x00 | address),
node = H(0x01 | left | right), split at the largest power of two below the number of leaves, root of nothing = H("").
A proof is the hashes beside the path, from the leaf up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from inos.core.errors import BadInput
from inos.crypto.hashing import blake3_digest

_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"
EMPTY_ROOT: Final = blake3_digest(b"")


def merkle_root(addresses: Iterable[bytes]) -> bytes:
    """The 32-byte root, from addresses in order. Holds one hash a level, so any number may pass through."""
    # One complete subtree for each bit set in the count so far, largest first.
    peaks: list[bytes] = []
    for count, address in enumerate(addresses):
        node = _leaf(address)
        while count & 1:
            node = _join(peaks.pop(), node)
            count >>= 1  # noqa: PLW2901 - the carry of adding one to a binary number
        peaks.append(node)
    return _fold(peaks)


def inclusion_proof(addresses: Sequence[bytes], index: int) -> list[bytes]:
    """Proof that `addresses[index]` is at its place: hashes from the leaf up, about log2 of the count."""
    if not 0 <= index < len(addresses):
        raise BadInput(f"no leaf {index} among {len(addresses)}")
    proof = []
    start, stop = 0, len(addresses)
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            proof.append(merkle_root(addresses[middle:stop]))
            stop = middle
        else:
            proof.append(merkle_root(addresses[start:middle]))
            start = middle
    return proof[::-1]


def verify_inclusion(root: bytes, address: bytes, index: int, count: int, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that `address` is leaf `index` of the `count` leaves under `root`."""
    if not 0 <= index < count:
        return False
    sides = list(_sides(index, count))
    if len(sides) != len(proof):
        return False
    node = _leaf(address)
    for on_right, other in zip(reversed(sides), proof, strict=True):
        node = _join(other, node) if on_right else _join(node, other)
    return node == root


def _sides(index: int, count: int) -> Iterator[bool]:
    """From the root down: whether the leaf is in the right half."""
    while count > 1:
        middle = _split(count)
        on_right = index >= middle
        yield on_right
        index, count = (index - middle, count - middle) if on_right else (index, middle)


def _split(count: int) -> int:
    return 1 << ((count - 1).bit_length() - 1)


def _fold(peaks: list[bytes]) -> bytes:
    if not peaks:
        return EMPTY_ROOT
    node = peaks[-1]
    for peak in reversed(peaks[:-1]):
        node = _join(peak, node)
    return node


def _leaf(address: bytes) -> bytes:
    return blake3_digest(_LEAF + address)


def _join(left: bytes, right: bytes) -> bytes:
    return blake3_digest(_NODE + left + right)
