"""Building a manifest while content streams by. Opening one is in `opening.py`.

Deterministic: the same content, name, scheme and secret give the same bytes and so the same cid. What is sealed where
is in `parts.py`, the outer layout in `manifest_codec.py`.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from inos.core.codec import encode
from inos.core.errors import BadInput, TooLarge
from inos.core.ids import DIGEST_BYTES, Address, Cid
from inos.core.object_names import MAX_NAME_BYTES
from inos.core.options import Compression
from inos.crypto.digest import sha256_digest
from inos.crypto.hashing import ContentHasher, address_of
from inos.objects.chunks import CHUNK_BYTES, SealedChunk, pack
from inos.objects.layout import COPIES, INLINE_BYTES, MAX_PAGES, Scheme
from inos.objects.manifest_codec import INNER, INNER_VERSION, PAGE_INNER, VERSION, OuterManifest, OuterPage
from inos.objects.merkle import EMPTY_ROOT, merkle_root
from inos.objects.parts import ObjectFacts, Part, object_key, seal_part
from inos.objects.reference import Reference


@dataclass(frozen=True, slots=True)
class BuiltObject:
    """A finished object. `manifest_chunks` are to be stored: the root, whose address is the cid, then its pages.
    `sha256` is that of its content."""

    reference: Reference
    manifest_chunks: tuple[tuple[Address, bytes], ...] = field(repr=False)
    scheme: Scheme
    size: int
    chunks: int
    stored_size: int
    sha256: bytes


class _PageDraft:
    """What one page will say. Packed, because all pages are kept until the end: the object key commits to all of it."""

    __slots__ = ("addresses", "keys", "parity", "parity_sizes", "plain_sizes", "sizes")

    def __init__(self) -> None:
        self.addresses, self.parity, self.keys = bytearray(), bytearray(), bytearray()
        self.sizes, self.parity_sizes, self.plain_sizes = array("I"), array("I"), array("I")

    def seal(self, key: bytes, scheme: Scheme, index: int, first_chunk: int) -> OuterPage:
        text = encode(PAGE_INNER, version=VERSION, keys=bytes(self.keys), plainSizes=list(self.plain_sizes))
        return OuterPage(
            index=index,
            scheme=scheme,
            first_chunk=first_chunk,
            addresses=_split(self.addresses),
            sizes=tuple(self.sizes),
            parity=_split(self.parity),
            parity_sizes=tuple(self.parity_sizes),
            inner=seal_part(key, Part.PAGE, index, text),
        )


class ManifestBuilder:
    """Takes sealed chunks in order and makes the manifest. Keeps about 72 bytes a chunk and 32 a parity shard: 75 MB
    for an object of 1 TiB, 0.4 MB for one of 5 GB. Use `build_inline` for content of at most INLINE_BYTES."""

    def __init__(
        self,
        convergence_secret: bytes,
        scheme: Scheme,
        *,
        name: str,
        page_chunks: int | None = None,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        """`page_chunks`, data chunks to a page, is a whole number of stripes; by default what suits the scheme. Every
        chunk but the last has `chunk_bytes` of plaintext, at most CHUNK_BYTES."""
        if not 0 < chunk_bytes <= CHUNK_BYTES:
            raise BadInput(f"a chunk has 1 to {CHUNK_BYTES} bytes, not {chunk_bytes}")
        self._chunk_bytes = chunk_bytes
        self._secret, self._scheme, self._name = convergence_secret, scheme, _checked_name(name)
        self._page_chunks = page_chunks or scheme.page_chunks()
        if not 0 < self._page_chunks <= scheme.page_chunks() or self._page_chunks % scheme.data_shards:
            raise BadInput(f"pages of {page_chunks} chunks do not suit the scheme {scheme}")
        self._drafts: list[_PageDraft] = []
        self._hasher = ContentHasher()
        self._chunks = self._size = self._stored_size = 0
        self._ended = False  # a short stripe or chunk was added, so nothing may follow

    def add_stripe(self, chunks: Sequence[SealedChunk], parity: Sequence[tuple[Address, int]] = ()) -> None:
        """The next stripe: its data chunks and (address, stored bytes) of its parity. All but the last are full, and
        all chunks but the object's last have `chunk_bytes`."""
        self._check_stripe(chunks, parity)
        if self._chunks % self._page_chunks == 0:
            if len(self._drafts) == MAX_PAGES:
                raise TooLarge(
                    f"an object has at most {MAX_PAGES * self._page_chunks} chunks in the scheme {self._scheme}"
                )
            self._drafts.append(_PageDraft())
        draft = self._drafts[-1]
        for chunk in chunks:
            self._add_chunk(draft, chunk)
        for address, _ in parity:
            draft.parity += address
        if parity:
            draft.parity_sizes.append(parity[0][1])
        self._ended = len(chunks) < self._scheme.data_shards or chunks[-1].plain_size < self._chunk_bytes

    def finish(self, size: int, sha256: bytes) -> BuiltObject:
        """The object, once every stripe was added. `size` and the 32-byte `sha256` are of the whole plaintext. Raises
        BadInput when the chunks do not add up to `size`."""
        if not self._chunks or size != self._size:
            raise BadInput(f"the chunks hold {self._size} bytes, not {size}")
        facts = ObjectFacts(
            size=size,
            name=self._name,
            content_hash=_checked_hash(sha256),
            chunk_bytes=self._chunk_bytes,
            scheme=self._scheme,
            page_chunks=self._page_chunks,
            chunks_hash=self._hasher.digest(),
        )
        key = object_key(self._secret, facts)
        pages = (
            draft.seal(key, self._scheme, index, index * self._page_chunks) for index, draft in enumerate(self._drafts)
        )
        in_place = next(pages) if len(self._drafts) == 1 else None
        stored = [_addressed(page.encode()) for page in pages]
        root = OuterManifest(
            scheme=self._scheme,
            chunks=self._chunks,
            stored_size=self._stored_size,
            merkle_root=merkle_root(address for draft in self._drafts for address in _split(draft.addresses)),
            page_chunks=self._page_chunks,
            pages=tuple(address for address, _ in stored),
            page=in_place,
            inner=_seal_inner(key, facts),
            inline=b"",
        )
        return _built(root, key, facts, stored)

    def _check_stripe(self, chunks: Sequence[SealedChunk], parity: Sequence[tuple[Address, int]]) -> None:
        width = self._scheme.data_shards
        if self._ended or not 0 < len(chunks) <= width:
            raise BadInput(f"a stripe of {len(chunks)} chunks cannot stand here in the scheme {self._scheme}")
        if any(chunk.plain_size != self._chunk_bytes for chunk in chunks[:-1]):
            raise BadInput(f"only the last chunk of an object may have fewer than {self._chunk_bytes} bytes")
        longest = max(len(chunk.stored) for chunk in chunks)
        if len(parity) != self._scheme.stripe_parity or any(size != longest for _, size in parity):
            raise BadInput(f"a stripe has {self._scheme.stripe_parity} parity shards as long as its longest chunk")

    def _add_chunk(self, draft: _PageDraft, chunk: SealedChunk) -> None:
        draft.addresses += chunk.address
        draft.keys += chunk.key
        draft.sizes.append(len(chunk.stored))
        draft.plain_sizes.append(chunk.plain_size)
        self._hasher.update(chunk.key + chunk.plain_size.to_bytes(4, "little"))
        self._chunks += 1
        self._size += chunk.plain_size
        self._stored_size += len(chunk.stored)


def build_inline(plain: bytes, convergence_secret: bytes, name: str, compression: Compression = "lz4") -> BuiltObject:
    """An object of at most INLINE_BYTES, whole in its manifest."""
    if len(plain) > INLINE_BYTES:
        raise BadInput(f"inline content has at most {INLINE_BYTES} bytes, got {len(plain)}")
    facts = ObjectFacts(
        size=len(plain),
        name=_checked_name(name),
        content_hash=sha256_digest(plain),
        chunk_bytes=CHUNK_BYTES,
        scheme=COPIES,
        page_chunks=0,
        chunks_hash=EMPTY_ROOT,
    )
    key = object_key(convergence_secret, facts)
    root = OuterManifest(
        scheme=COPIES,
        chunks=0,
        stored_size=0,
        merkle_root=EMPTY_ROOT,
        page_chunks=0,
        pages=(),
        page=None,
        inner=_seal_inner(key, facts),
        inline=seal_part(key, Part.INLINE, 0, pack(plain, compression)),
    )
    return _built(root, key, facts, [])


def _seal_inner(key: bytes, facts: ObjectFacts) -> bytes:
    text = encode(
        INNER,
        version=INNER_VERSION,
        size=facts.size,
        name=facts.name,
        contentHash=facts.content_hash,
        chunkSize=facts.chunk_bytes,
    )
    return seal_part(key, Part.INNER, 0, text)


def _built(root: OuterManifest, key: bytes, facts: ObjectFacts, pages: list[tuple[Address, bytes]]) -> BuiltObject:
    address, data = _addressed(root.encode())
    return BuiltObject(
        reference=Reference(Cid(address), key),
        manifest_chunks=((address, data), *pages),
        scheme=root.scheme,
        size=facts.size,
        chunks=root.chunks,
        stored_size=root.stored_size,
        sha256=facts.content_hash,
    )


def _checked_name(name: str) -> str:
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise BadInput(f"the name is not text: {name[:80]!a}") from None
    if size > MAX_NAME_BYTES:
        raise BadInput(f"the name has {size} bytes in UTF-8; at most {MAX_NAME_BYTES} are possible")
    return name


def _checked_hash(content_hash: bytes) -> bytes:
    if len(content_hash) != DIGEST_BYTES:
        raise BadInput(f"a content hash has {DIGEST_BYTES} bytes, got {len(content_hash)}")
    return content_hash


def _addressed(data: bytes) -> tuple[Address, bytes]:
    return address_of(data), data


def _split(blob: bytearray) -> tuple[Address, ...]:
    return tuple(Address(bytes(blob[at : at + DIGEST_BYTES])) for at in range(0, len(blob), DIGEST_BYTES))
