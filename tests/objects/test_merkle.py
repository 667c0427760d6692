"""Merkle roots agree with the definition, and proofs prove exactly one place."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from object_samples import noise

from inos.core.errors import BadInput
from inos.crypto.hashing import blake3_digest
from inos.objects.merkle import inclusion_proof, merkle_root, verify_inclusion


def by_definition(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, written as it stands there."""
    if not leaves:
        return blake3_digest(b"")
    if len(leaves) == 1:
        return blake3_digest(b"\0" + leaves[0])
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return blake3_digest(b"\1" + by_definition(leaves[:half]) + by_definition(leaves[half:]))


def leaves(count: int) -> list[bytes]:
    return [noise(str(number), 32) for number in range(count)]


@pytest.mark.parametrize("count", [*range(40), 63, 64, 65, 1000])
def test_root_is_the_defined_one(count: int) -> None:
    assert merkle_root(leaves(count)) == by_definition(leaves(count))
    assert merkle_root(iter(leaves(count))) == by_definition(leaves(count))


@settings(max_examples=60)
@given(st.integers(1, 70), st.data())
def test_proofs(count: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, count - 1))
    all_leaves = leaves(count)
    root, proof = merkle_root(all_leaves), inclusion_proof(all_leaves, index)
    assert len(proof) <= (count - 1).bit_length()
    assert verify_inclusion(root, all_leaves[index], index, count, proof)
    other = data.draw(st.integers(-2, count + 1).filter(lambda number: number != index))
    assert not verify_inclusion(root, all_leaves[index], other, count, proof)
    assert not verify_inclusion(root, noise("stranger", 32), index, count, proof)
    assert not verify_inclusion(noise("root", 32), all_leaves[index], index, count, proof)
    assert not verify_inclusion(root, all_leaves[index], index, count, [*proof, bytes(32)])
    if proof:
        assert not verify_inclusion(root, all_leaves[index], index, count, proof[:-1])


def test_a_node_is_not_a_leaf() -> None:
    two = leaves(2)
    inside = blake3_digest(b"\0" + two[0]) + blake3_digest(b"\0" + two[1])
    assert merkle_root([inside]) != merkle_root(two)


def test_no_such_leaf() -> None:
    for index in (-1, 3):
        with pytest.raises(BadInput):
            inclusion_proof(leaves(3), index)
