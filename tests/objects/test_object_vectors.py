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
from inos.crypto.digest import sha256_digest
from inos.crypto.hashing import address_of, blake3_digest
from inos.objects import gf256
from inos.objects.chunks import CHUNK_BYTES, open_chunk, seal_chunk
from inos.objects.erasure import encode_parity
from inos.objects.layout import COPIES, Scheme
from inos.objects.manifest import build_inline
from inos.objects.manifest_codec import OuterManifest
from inos.objects.merkle import inclusion_proof, merkle_root
from inos.objects.opening import open_inner
from inos.objects.reference import Reference, parse_target

VECTORS = Path(__file__).parent / "vectors"
OBJECT_BYTES = 4 * CHUNK_BYTES + 5


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


def inline_2() -> dict[str, Any]:
    built = build_inline(b"hello, mesh", SECRET, "/hello.txt")
    return {"reference": str(built.reference), "manifest": built.manifest_chunks[0][1].hex()}


def _outline(stored: Stored) -> dict[str, Any]:
    return {
        "reference": str(stored.built.reference),
        "manifest": [data.hex() for _, data in stored.built.manifest_chunks],
        "pieces": sorted(str(address) for address in stored.chunks),
    }


def objects_2() -> dict[str, Any]:
    content = noise("object", OBJECT_BYTES)
    return {
        "content hash": sha256_digest(content).hex(),
        "copies": _outline(store(content, COPIES, name="/copies")),
        "3+2": _outline(store(content, Scheme(3, 2), name="/coded")),
        "3+2 in two pages": _outline(store(content, Scheme(3, 2), name="/coded", page_chunks=3)),
    }


VECTORS_MADE = [references, chunk, stripes, merkle, inline_2, objects_2]


@pytest.mark.parametrize("make", VECTORS_MADE, ids=lambda make: make.__name__)
def test_the_same_input_gives_the_same_bytes(make: Callable[[], dict[str, Any]]) -> None:
    assert make() == json.loads((VECTORS / f"{make.__name__}.json").read_text())


@pytest.mark.parametrize("name", ["compressed", "compressed_zstd"])
def test_a_compressed_chunk_opens(name: str) -> None:
    vector = json.loads((VECTORS / f"{name}.json").read_text())
    stored = bytes.fromhex(vector["stored"])
    assert str(address_of(stored)) == vector["address"]
    assert open_chunk(stored, bytes.fromhex(vector["key"]), 1000) == bytes(range(100)) * 10


@pytest.mark.parametrize("name", ["inline", "inline_2"])
def test_an_inline_object_opens(name: str) -> None:
    vector = json.loads((VECTORS / f"{name}.json").read_text())
    reference = parse_target(vector["reference"])
    assert isinstance(reference, Reference)
    assert read(reference, {reference.cid.address: bytes.fromhex(vector["manifest"])}) == b"hello, mesh"


@pytest.mark.parametrize("name", ["objects", "objects_2"])
def test_an_object_opens(name: str) -> None:
    """Version 1 of the inner part says the BLAKE3 of the content, version 2 its SHA-256; the pieces are the same."""
    content = noise("object", OBJECT_BYTES)
    vector = json.loads((VECTORS / f"{name}.json").read_text())
    digest = blake3_digest if name == "objects" else sha256_digest
    assert vector["content hash"] == digest(content).hex()
    pieces = store(content, COPIES).chunks
    reference = parse_target(vector["copies"]["reference"])
    assert isinstance(reference, Reference)
    manifest = bytes.fromhex(vector["copies"]["manifest"][0])
    assert open_inner(OuterManifest.decode(manifest), reference.key).content_hash == digest(content)
    assert read(reference, {**pieces, reference.cid.address: manifest}) == content
