"""Opening a manifest with the key from a reference: its inner part, its pages' keys, its inline content.

The manifest's bytes were checked by the cid, and a page's by its address, before they come here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from inos.core.codec import reading
from inos.core.errors import BadInput, Corrupt
from inos.core.ids import DIGEST_BYTES
from inos.crypto.digest import sha256_digest
from inos.crypto.hashing import blake3_digest
from inos.crypto.sealing import KEY_BYTES
from inos.objects.chunks import CHUNK_BYTES, unpack
from inos.objects.layout import INLINE_BYTES, MAX_MANIFEST_BYTES
from inos.objects.manifest_codec import (
    INNER,
    INNER_VERSION,
    PAGE_INNER,
    OuterManifest,
    OuterPage,
    check_version,
)
from inos.objects.parts import Part, open_part


@dataclass(frozen=True, slots=True)
class Inner:
    """What only a reference opens. `size` and `chunk_size` are plaintext bytes; `content_hash` is the SHA-256 of the
    content, its BLAKE3 in the older `version` 1."""

    size: int
    name: str
    content_hash: bytes
    chunk_size: int
    version: int = INNER_VERSION

    def plain_size(self, chunk: int) -> int:
        """Plaintext bytes of data chunk `chunk`: it begins at byte chunk * chunk_size."""
        return max(0, min(self.chunk_size, self.size - chunk * self.chunk_size))


@dataclass(frozen=True, slots=True)
class PageKeys:
    """Key and plaintext size of each data chunk of one page, in order."""

    keys: tuple[bytes, ...] = field(repr=False)
    plain_sizes: tuple[int, ...]


def open_inner(manifest: OuterManifest, key: bytes) -> Inner:
    """The inner part. Raises BadReference when `key` is another object's, Corrupt when it contradicts the rest."""
    text = open_part(key, Part.INNER, 0, manifest.inner)
    with reading(INNER, text, max_bytes=MAX_MANIFEST_BYTES) as reader:
        version = check_version(reader, "manifest", INNER_VERSION)
        inner = Inner(reader.size, reader.name, bytes(reader.contentHash), reader.chunkSize, version)
    if len(inner.content_hash) != DIGEST_BYTES or not 0 < inner.chunk_size <= CHUNK_BYTES:
        raise Corrupt("the inner part of the manifest makes no sense")
    fits = inner.size <= INLINE_BYTES if manifest.is_inline else -(-inner.size // inner.chunk_size) == manifest.chunks
    if not fits:
        raise Corrupt(f"{inner.size} bytes are not in {manifest.chunks} chunks")
    return inner


def open_page(page: OuterPage, key: bytes, inner: Inner) -> PageKeys:
    """Keys and plaintext sizes of a page's chunks. Raises BadReference when `key` is another object's, Corrupt when the
    page contradicts `inner`, so that a byte's place follows from its offset alone."""
    text = open_part(key, Part.PAGE, page.index, page.inner)
    with reading(PAGE_INNER, text, max_bytes=MAX_MANIFEST_BYTES) as reader:
        check_version(reader, "page")
        found = PageKeys(_keys(reader.keys), tuple(reader.plainSizes))
    if not len(found.keys) == len(found.plain_sizes) == len(page.addresses):
        raise Corrupt(f"page {page.index} has {len(found.keys)} keys for {len(page.addresses)} chunks")
    if any(size != inner.plain_size(chunk) for chunk, size in enumerate(found.plain_sizes, page.first_chunk)):
        raise Corrupt(f"page {page.index} has a chunk of the wrong size")
    return found


def open_inline(manifest: OuterManifest, key: bytes) -> bytes:
    """The content of an inline object, checked against its hash."""
    if not manifest.is_inline:
        raise BadInput("the object's content is in chunks, not in its manifest")
    inner = open_inner(manifest, key)
    plain = unpack(open_part(key, Part.INLINE, 0, manifest.inline), inner.size, limit=INLINE_BYTES)
    digest = blake3_digest if inner.version == 1 else sha256_digest
    if digest(plain) != inner.content_hash:
        raise Corrupt("inline content does not match its hash")
    return plain


def _keys(blob: bytes) -> tuple[bytes, ...]:
    return tuple(bytes(blob[at : at + KEY_BYTES]) for at in range(0, len(blob), KEY_BYTES))
