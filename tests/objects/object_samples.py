"""Objects to test with, and a reader that does what a node does to get content back from stored bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inos.core.ids import Address
from inos.crypto.digest import sha256_digest
from inos.crypto.hashing import address_of, keyed_digest
from inos.objects.chunks import CHUNK_BYTES, SealedChunk, open_chunk, seal_chunk
from inos.objects.erasure import encode_parity
from inos.objects.layout import Scheme
from inos.objects.manifest import BuiltObject, ManifestBuilder
from inos.objects.manifest_codec import OuterManifest, OuterPage
from inos.objects.opening import open_inline, open_inner, open_page
from inos.objects.reference import Reference

SECRET = bytes(range(32))


def noise(seed: str, size: int) -> bytes:
    """Incompressible bytes, the same for one seed for ever."""
    return keyed_digest(bytes(32), seed.encode(), size)


@dataclass(frozen=True)
class Stored:
    """An object and every chunk it needs, by address."""

    built: BuiltObject
    chunks: dict[Address, bytes]


def store(
    content: bytes, scheme: Scheme, *, name: str = "/a", secret: bytes = SECRET, page_chunks: int | None = None
) -> Stored:
    builder = ManifestBuilder(secret, scheme, name=name, page_chunks=page_chunks)
    chunks: dict[Address, bytes] = {}
    sealed = [seal_chunk(content[at : at + CHUNK_BYTES], secret) for at in range(0, len(content), CHUNK_BYTES)]
    for at in range(0, len(sealed), scheme.data_shards):
        stripe = sealed[at : at + scheme.data_shards]
        parity = encode_parity([chunk.stored for chunk in stripe], scheme.stripe_parity)
        builder.add_stripe(stripe, [(address_of(shard), len(shard)) for shard in parity])
        chunks |= {chunk.address: chunk.stored for chunk in stripe} | {address_of(shard): shard for shard in parity}
    built = builder.finish(len(content), sha256_digest(content))
    return Stored(built, chunks | dict(built.manifest_chunks))


def pages_of(manifest: OuterManifest, chunks: Mapping[Address, bytes]) -> list[OuterPage]:
    if manifest.page is not None:
        return [manifest.page]
    return [OuterPage.decode(chunks[address], manifest, index) for index, address in enumerate(manifest.pages)]


def read(reference: Reference, chunks: Mapping[Address, bytes]) -> bytes:
    """The content. Trusts the bytes under an address, so that tests can see what a flipped bit does further on."""
    manifest = OuterManifest.decode(chunks[reference.cid.address])
    if manifest.is_inline:
        return open_inline(manifest, reference.key)
    inner = open_inner(manifest, reference.key)
    content = bytearray()
    for page in pages_of(manifest, chunks):
        keys = open_page(page, reference.key, inner)
        for address, key, size in zip(page.addresses, keys.keys, keys.plain_sizes, strict=True):
            content += open_chunk(chunks[address], key, size)
    return bytes(content)


def fake_chunk(seed: str, stored_size: int, plain_size: int = CHUNK_BYTES) -> SealedChunk:
    """A chunk whose bytes do not matter, only that it is listed."""
    return SealedChunk(Address(noise("a" + seed, 32)), bytes(stored_size), noise("k" + seed, 32), plain_size)
