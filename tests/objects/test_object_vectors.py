"""Golden vectors: bytes that were once written must be read for ever, and the same input must give them again.

The files under vectors/ never change; a format that must change gets a new version and new vectors. Of compressed
chunks only reading is fixed: another release of LZ4 may pack the same content otherwise, into other chunks as good.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from object_samples import SECRET, Stored, noise, read, store

from inos.core.ids import Cid
from inos.crypto.hashing import address_of, blake3_digest
from inos.objects import gf256
from inos.objects.chunks import CHUNK_BYTES, open_chunk, seal_chunk
from inos.objects.erasure import encode_parity
from inos.objects.layout import COPIES, Scheme
from inos.objects.manifest import build_inline
from inos.objects.merkle import inclusion_proof, merkle_root
from inos.objects.reference import Reference, parse_target

VECTORS = Path(__file__).parent / "vectors"


def references() -> dict[str, Any]:
    reference = Reference(Cid(bytes(range(32))), bytes(range(100, 132)))
    return {"cid": reference.cid.hex(), "key": reference.key.hex(), "text": str(reference)}


def chunk() -> dict[str, Any]:
    plain = noise("chunk", 100)
    sealed = seal_chunk(plain, SECRET)
    return {
        "secret": SECRET.hex(),
        "plain": plain.hex(),
        "key": sealed.key.hex(),
        "stored": sealed.stored.hex(),
        "address": str(sealed.address),
    }


def stripes() -> dict[str, Any]:
    small = [noise(f"shard {number}", size) for number, size in enumerate((16, 9, 16))]
    wide = [noise(f"wide {number}", 5000) for number in range(100)]
    return {
        "chunks": [shard.hex() for shard in small],
        "parity": [shard.hex() for shard in encode_parity(small, 2)],
        "rows of 5": [gf256.parity_row(index, 5).hex() for index in range(3)],
        "parity of 100 chunks": [blake3_digest(shard).hex() for shard in encode_parity(wide, 20)],
    }


def merkle() -> dict[str, Any]:
    leaves = [noise(f"leaf {number}", 32) for number in range(9)]
    return {
        "leaves": [leaf.hex() for leaf in leaves],
        "roots": [merkle_root(leaves[:count]).hex() for count in range(10)],
        "proof of leaf 5 of 7": [step.hex() for step in inclusion_proof(leaves[:7], 5)],
    }


def inline() -> dict[str, Any]:
    built = build_inline(b"hello, mesh", SECRET, "/hello.txt")
    return {"reference": str(built.reference), "manifest": built.manifest_chunks[0][1].hex()}


def _outline(stored: Stored) -> dict[str, Any]:
    return {
        "reference": str(stored.built.reference),
        "manifest": [data.hex() for _, data in stored.built.manifest_chunks],
        "pieces": sorted(str(address) for address in stored.chunks),
    }


def objects() -> dict[str, Any]:
    content = noise("object", 4 * CHUNK_BYTES + 5)
    return {
        "content hash": blake3_digest(content).hex(),
        "copies": _outline(store(content, COPIES, name="/copies")),
        "3+2": _outline(store(content, Scheme(3, 2), name="/coded")),
        "3+2 in two pages": _outline(store(content, Scheme(3, 2), name="/coded", page_chunks=3)),
    }


@pytest.mark.parametrize("make", [references, chunk, stripes, merkle, inline, objects], ids=lambda make: make.__name__)
def test_the_same_input_gives_the_same_bytes(make: Callable[[], dict[str, Any]]) -> None:
    assert make() == json.loads((VECTORS / f"{make.__name__}.json").read_text())


@pytest.mark.parametrize("name", ["compressed", "compressed_zstd"])
def test_a_compressed_chunk_opens(name: str) -> None:
    vector = json.loads((VECTORS / f"{name}.json").read_text())
    stored = bytes.fromhex(vector["stored"])
    assert str(address_of(stored)) == vector["address"]
    assert open_chunk(stored, bytes.fromhex(vector["key"]), 1000) == bytes(range(100)) * 10


def test_an_inline_object_opens() -> None:
    vector = json.loads((VECTORS / "inline.json").read_text())
    reference = parse_target(vector["reference"])
    assert isinstance(reference, Reference)
    assert read(reference, {reference.cid.address: bytes.fromhex(vector["manifest"])}) == b"hello, mesh"
