"""The outer part of a manifest and its pages, as bytes and as values: what any holder may read.

Decoding trusts nothing: sizes, counts and limits are checked against each other here, once, so that whoever holds an
OuterManifest or OuterPage may rely on them. Every failure is BadFrame, except NewerFormat for a version above ours.
Layout: docs/format.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from inos.core.codec import encode, reading
from inos.core.errors import BadFrame, Corrupt, NewerFormat
from inos.core.ids import DIGEST_BYTES, Address
from inos.crypto.sealing import OVERHEAD_BYTES
from inos.objects.layout import (
    INLINE_BYTES,
    MAX_MANIFEST_BYTES,
    MAX_PAGES,
    PAGE_CHUNKS,
    Piece,
    Scheme,
    Stripe,
    check_stored_size,
)
from inos.objects.merkle import EMPTY_ROOT, merkle_root

VERSION: Final = 1
INNER_VERSION: Final = 2
MANIFEST: Final = "objects/object.capnp:Manifest"
PAGE: Final = "objects/object.capnp:Page"
INNER: Final = "objects/object.capnp:ManifestInner"
PAGE_INNER: Final = "objects/object.capnp:PageInner"


@dataclass(frozen=True, slots=True)
class OuterPage:
    """A run of whole stripes. `sizes` are stored bytes of data chunks, `parity_sizes` those of each stripe's parity."""

    index: int
    scheme: Scheme
    first_chunk: int
    addresses: tuple[Address, ...]
    sizes: tuple[int, ...]
    parity: tuple[Address, ...]
    parity_sizes: tuple[int, ...]
    inner: bytes = field(repr=False)

    @classmethod
    def decode(cls, data: bytes, manifest: OuterManifest, index: int) -> OuterPage:
        """Page `index` of `manifest`. Raises BadFrame when it is not what the manifest says it is."""
        with reading(PAGE, data, max_bytes=MAX_MANIFEST_BYTES) as reader:
            check_version(reader, "page")
            page = cls(
                index=index,
                scheme=manifest.scheme,
                first_chunk=index * manifest.page_chunks,
                addresses=_addresses(reader.addresses),
                sizes=tuple(map(check_stored_size, reader.sizes)),
                parity=_addresses(reader.parity),
                parity_sizes=tuple(map(check_stored_size, reader.paritySizes)),
                inner=bytes(reader.inner),
            )
        page._check(manifest.chunks_in_page(index))
        return page

    def encode(self) -> bytes:
        return encode(
            PAGE,
            version=VERSION,
            addresses=b"".join(self.addresses),
            sizes=list(self.sizes),
            parity=b"".join(self.parity),
            paritySizes=list(self.parity_sizes),
            inner=self.inner,
        )

    def stripes(self) -> Iterator[Stripe]:
        """The stripes of this page, numbered within the object."""
        width, parity = self.scheme.data_shards, self.scheme.stripe_parity
        for local, start in enumerate(range(0, len(self.addresses), width)):
            first = self.first_chunk + start
            yield Stripe(
                index=first // width,
                first_chunk=first,
                addresses=self.addresses[start : start + width],
                sizes=self.sizes[start : start + width],
                parity=self.parity[local * parity : (local + 1) * parity],
                parity_size=self.parity_sizes[local] if parity else 0,
            )

    def _check(self, chunks: int) -> None:
        stripes = 0 if self.scheme.is_copies else self.scheme.stripes(chunks)
        _require(len(self.addresses) == len(self.sizes) == chunks, f"page {self.index} does not have {chunks} chunks")
        _require(len(self.parity_sizes) == stripes, f"page {self.index} does not have {stripes} parity sizes")
        _require(
            len(self.parity) == stripes * self.scheme.stripe_parity, f"page {self.index} has the wrong count of parity"
        )
        if stripes:
            longest = all(stripe.parity_size == max(stripe.sizes) for stripe in self.stripes())
            _require(longest, "parity is as long as the longest chunk of its stripe")


@dataclass(frozen=True, slots=True)
class OuterManifest:
    """What a holder knows of an object. Exactly one is there: `page` (the only one, in place), `pages` (addresses of
    Page chunks), or `inline` (the sealed content itself)."""

    scheme: Scheme
    chunks: int
    stored_size: int
    merkle_root: bytes
    page_chunks: int
    pages: tuple[Address, ...]
    page: OuterPage | None
    inner: bytes = field(repr=False)
    inline: bytes = field(repr=False)

    @classmethod
    def decode(cls, data: bytes) -> OuterManifest:
        """The manifest in `data`, a page in place decoded and checked with it."""
        with reading(MANIFEST, data, max_bytes=MAX_MANIFEST_BYTES) as reader:
            check_version(reader, "manifest")
            manifest = cls(
                scheme=Scheme(reader.scheme.dataShards, reader.scheme.parityShards),
                chunks=reader.chunks,
                stored_size=reader.storedSize,
                merkle_root=bytes(reader.merkleRoot),
                page_chunks=reader.pageChunks,
                pages=_addresses(reader.pages),
                page=None,
                inner=bytes(reader.inner),
                inline=bytes(reader.inline),
            )
            in_place = bytes(reader.page)
        manifest._check(in_place)
        if not in_place:
            return manifest
        page = OuterPage.decode(in_place, manifest, 0)
        _require(sum(page.sizes) == manifest.stored_size, "chunks do not add up to the stored size")
        return replace(manifest, page=page)

    def encode(self) -> bytes:
        return encode(
            MANIFEST,
            version=VERSION,
            scheme={"dataShards": self.scheme.data_shards, "parityShards": self.scheme.parity_shards},
            chunks=self.chunks,
            storedSize=self.stored_size,
            merkleRoot=self.merkle_root,
            page=self.page.encode() if self.page else b"",
            pages=b"".join(self.pages),
            pageChunks=self.page_chunks,
            inner=self.inner,
            inline=self.inline,
        )

    @property
    def is_inline(self) -> bool:
        """Whether the content is sealed in the manifest itself, with no chunks."""
        return not self.chunks

    @property
    def page_count(self) -> int:
        return -(-self.chunks // self.page_chunks) if self.chunks else 0

    def page_of(self, chunk: int) -> int:
        """The index of the page that lists data chunk `chunk`."""
        return chunk // self.page_chunks

    def chunks_in_page(self, index: int) -> int:
        """Data chunks listed by page `index`. Raises BadFrame when there is no such page."""
        _require(0 <= index < self.page_count, f"no page {index} among {self.page_count}")
        return min(self.page_chunks, self.chunks - index * self.page_chunks)

    def _check(self, in_place: bytes) -> None:
        _require(len(self.merkle_root) == DIGEST_BYTES, "a Merkle root has 32 bytes")
        if self.is_inline:
            alone = not (in_place or self.pages or self.page_chunks or self.stored_size)
            _require(alone and self.scheme.is_copies and self.merkle_root == EMPTY_ROOT, "pages without chunks")
            largest = INLINE_BYTES + 1 + OVERHEAD_BYTES
            _require(OVERHEAD_BYTES < len(self.inline) <= largest, f"inline content of {len(self.inline)} bytes")
            return
        whole = 0 < self.page_chunks <= PAGE_CHUNKS and self.page_chunks % self.scheme.data_shards == 0
        _require(whole, f"pages of {self.page_chunks} chunks")
        count = self.page_count
        _require(count <= MAX_PAGES, f"{count} pages are more than {MAX_PAGES}")
        listed = (bool(in_place), len(self.pages)) == ((True, 0) if count == 1 else (False, count))
        _require(listed and not self.inline, f"{self.chunks} chunks are not in {count} pages")


def pieces(pages: Iterable[OuterPage]) -> Iterator[Piece]:
    """Every data chunk and parity shard of the given pages, in order. Manifest and pages themselves are not pieces."""
    for page in pages:
        for stripe in page.stripes():
            for shard, address in enumerate(stripe.shards()):
                yield Piece(address, stripe.size_of(shard), stripe.index, shard)


def verify_pages(manifest: OuterManifest, pages: Iterable[OuterPage]) -> None:
    """Check all pages, in order, against the manifest's Merkle root and stored size (about 2 us a chunk). Raises
    Corrupt. Pages are known by their addresses already: this finds a writer's mistake, not a holder's."""
    stored = 0

    def addresses() -> Iterator[Address]:
        nonlocal stored
        for page in pages:
            stored += sum(page.sizes)
            yield from page.addresses

    if merkle_root(addresses()) != manifest.merkle_root or stored != manifest.stored_size:
        raise Corrupt("the pages of the manifest do not belong together")


def check_version(reader: Any, what: str, newest: int = VERSION) -> int:
    """The version, 1 to `newest`. Raises NewerFormat for one above, BadFrame for none at all."""
    version: int = reader.version
    if version > newest:
        raise NewerFormat(f"this {what} has version {version}; this INOS reads up to {newest}", hint="update INOS")
    _require(version > 0, f"a {what} without a version")
    return version


def _addresses(blob: bytes) -> tuple[Address, ...]:
    _require(len(blob) % DIGEST_BYTES == 0, f"a list of addresses of {len(blob)} bytes")
    return tuple(Address(blob[at : at + DIGEST_BYTES]) for at in range(0, len(blob), DIGEST_BYTES))


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise BadFrame(f"not a manifest: {problem}")
