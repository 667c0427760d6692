"""The layout of one object: every group of pieces, read from its manifest and pages.

Pages are read one at a time and dropped, so a layout of any size is walked in flat memory. Reading blocks (it goes to
the chunk store); run walks through `Env.in_thread`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from inos.core.ids import Address, Cid
from inos.core.pure import pure
from inos.objects.manifest_codec import OuterManifest, OuterPage
from inos.replication.durability import Group
from inos.replication.placement import Placement, copy_holders, stripe_holders

ReadChunk = Callable[[Address], bytes]


@dataclass(frozen=True, slots=True)
class Layout:
    """An object's manifest with the means to read its pages. Its cid says which bytes that are."""

    cid: Cid
    manifest: OuterManifest = field(compare=False)
    manifest_size: int = field(compare=False)

    def pages(self, read: ReadChunk) -> Iterator[OuterPage]:
        for index in range(self.manifest.page_count):
            yield self.page(index, read)

    def page(self, index: int, read: ReadChunk) -> OuterPage:
        """One page, from the manifest itself or its own chunk."""
        if self.manifest.page is not None:
            return self.manifest.page
        return OuterPage.decode(read(self.manifest.pages[index]), self.manifest, index)

    def manifest_groups(self, placement: Placement) -> Iterator[Group]:
        """The manifest and its pages: copied, whatever the scheme of the data is."""
        yield _copies(placement, self.cid.address, self.manifest_size)
        for address in self.manifest.pages:
            yield _copies(placement, address, 0)

    def page_groups(self, placement: Placement, page: OuterPage, from_chunk: int = 0) -> Iterator[tuple[int, Group]]:
        """The data of one page in order, each group with the number of its first chunk; `from_chunk` skips to its."""
        for stripe in page.stripes():
            if stripe.first_chunk + len(stripe.addresses) <= from_chunk:
                continue
            if self.manifest.scheme.is_copies:
                yield stripe.first_chunk, _copies(placement, stripe.addresses[0], stripe.sizes[0])
                continue
            shards = stripe.shards()
            sizes = stripe.sizes + (stripe.parity_size,) * len(stripe.parity)
            holders = stripe_holders(placement.members, shards)
            yield stripe.first_chunk, Group(len(stripe.addresses), shards, sizes, holders)

    def pieces(self, placement: Placement, member: bytes, read: ReadChunk) -> Iterable[Address]:
        """Every piece that `member` keeps, manifest and pages among them; an address as often as it is assigned.
        Raises what `read` raises when a page is missing."""
        if self.manifest.page is not None:
            return _pieces_of_small(self, placement, member)
        return (address for group in self.groups(placement, read) for address in assigned_to(group, member))

    def groups(self, placement: Placement, read: ReadChunk) -> Iterator[Group]:
        """Manifest, pages, then data. Raises what `read` raises when a page is missing."""
        yield from self.manifest_groups(placement)
        for page in self.pages(read):
            for _, group in self.page_groups(placement, page):
                yield group


def _unread(address: Address) -> bytes:
    raise AssertionError(f"the one page is in the manifest, no need to read {address!r}")


@pure
def _pieces_of_small(layout: Layout, placement: Placement, member: bytes) -> tuple[Address, ...]:
    """The pieces of an object whose manifest has its only page."""
    groups = layout.groups(placement, _unread)
    return tuple(address for group in groups for address in assigned_to(group, member))


def read_layout(cid: Cid, read: ReadChunk) -> Layout:
    """The layout of an object whose manifest `read` can give."""
    return layout_of(cid, read(cid.address))


@pure
def layout_of(cid: Cid, manifest: bytes) -> Layout:
    """The layout in these bytes. Raises BadFrame or Corrupt when they are no manifest."""
    return Layout(cid, OuterManifest.decode(manifest), len(manifest))


def _copies(placement: Placement, address: Address, size: int) -> Group:
    holders = copy_holders(placement, address)
    return Group(1, (address,) * len(holders), (size,) * len(holders), holders)


def assigned_to(group: Group, member: bytes) -> list[Address]:
    """The distinct pieces of this group that `member` keeps."""
    return list(
        dict.fromkeys(
            address for address, holder in zip(group.addresses, group.holders, strict=True) if holder == member
        )
    )
