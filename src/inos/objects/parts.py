"""The sealed parts of a manifest: which key and nonce seals what. See decision 0002.

    object key    = keyed BLAKE3 of the convergence secret over everything the parts say
    part key      = keyed BLAKE3 of the object key over the part's label and index: 32 bytes to seal, 32 to make nonces
    nonce         = keyed BLAKE3 of the nonce key over the part's text

So each part of each object has its own key, and even under one key another text would get another nonce: no
(key, nonce) pair seals two texts, whatever a later release writes into a part. The object key is what a reference
carries; nothing about the convergence secret follows from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from inos.core.errors import BadReference, Corrupt
from inos.crypto.hashing import keyed_digest
from inos.crypto.sealing import KEY_BYTES, NONCE_BYTES, open_sealed, seal
from inos.objects.layout import Scheme

_OBJECT_LABEL = b"inos object key v1"


class Part(Enum):
    """What is sealed under an object key, by label."""

    INNER = b"inos manifest inner v1"
    PAGE = b"inos page inner v1"
    INLINE = b"inos inline content v1"


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What an object key commits to. `chunks_hash` is the BLAKE3 of every chunk's key and plain size, in order."""

    size: int
    name: str
    content_hash: bytes
    chunk_bytes: int
    scheme: Scheme
    page_chunks: int
    chunks_hash: bytes = field(repr=False)


def object_key(convergence_secret: bytes, facts: ObjectFacts) -> bytes:
    """The 32-byte key that opens all parts of one object; the same each time for the same facts and secret."""
    numbers = (
        (len(facts.name.encode()), 4),
        (facts.size, 8),
        (facts.chunk_bytes, 4),
        (facts.scheme.data_shards, 2),
        (facts.scheme.parity_shards, 2),
        (facts.page_chunks, 4),
    )
    fixed = b"".join(value.to_bytes(length, "little") for value, length in numbers)
    # The label last, as convergent sealing has it under the same secret: no text of one kind is a text of the other.
    text = b"".join((facts.name.encode(), fixed, facts.content_hash, facts.chunks_hash, _OBJECT_LABEL))
    return keyed_digest(convergence_secret, text)


def seal_part(key: bytes, part: Part, index: int, text: bytes) -> bytes:
    """`text` sealed as part `index` of its kind, under the object key `key`."""
    sealing_key, nonce_key = _part_keys(key, part, index)
    return seal(sealing_key, text, nonce=keyed_digest(nonce_key, text, NONCE_BYTES))


def open_part(key: bytes, part: Part, index: int, sealed: bytes) -> bytes:
    """What `seal_part` was given. Raises BadReference when the key is another: the manifest was checked by its cid."""
    sealing_key, _ = _part_keys(key, part, index)
    try:
        return open_sealed(sealing_key, sealed)
    except Corrupt:
        raise BadReference(
            "wrong key: the part of the reference after '#' does not open this object",
            hint="copy the whole reference from 'inos put' or 'inos ls'",
        ) from None


def _part_keys(key: bytes, part: Part, index: int) -> tuple[bytes, bytes]:
    if len(key) != KEY_BYTES:
        raise BadReference(f"an object's key has {KEY_BYTES} bytes, got {len(key)}")
    material = keyed_digest(key, part.value + index.to_bytes(8, "little"), 2 * KEY_BYTES)
    return material[:KEY_BYTES], material[KEY_BYTES:]
