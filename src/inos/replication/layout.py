"""The layout of one object: every group of pieces, read from its manifest and pages.

Pages are read one at a time and dropped, so a layout of any size is walked in flat memory. Reading blocks (it goes to
the chunk store); run walks through `Env.in_thread`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from inos.core.ids import Address, Cid
from inos.objects.manifest import OuterManifest, OuterPage
from inos.replication.durability import Group
from inos.replication.placement import Placement, copy_holders, stripe_holders

ReadChunk = Callable[[Address], bytes]


@dataclass(frozen=True, slots=True)
class Layout:
    """An object's manifest with the means to read its pages."""

    cid: Cid
    manifest: OuterManifest
    manifest_size: int

    def pages(self, read: ReadChunk) -> Iterator[OuterPage]:
        if self.manifest.page is not None:
            yield self.manifest.page
        for address in self.manifest.page_addresses:
            yield OuterPage.decode(read(address))

    def manifest_groups(self, placement: Placement) -> Iterator[Group]:
        """The manifest and its pages: copied, whatever the scheme of the data is."""
        yield _copies(placement, self.cid.address, self.manifest_size)
        for address in self.manifest.page_addresses:
            yield _copies(placement, address, 0)

    def page_groups(self, placement: Placement, page: OuterPage) -> Iterator[Group]:
        """The data of one page, in order."""
        if self.manifest.scheme.is_copies:
            for address, size in zip(page.addresses, page.sizes, strict=True):
                yield _copies(placement, address, size)
            return
        for stripe in page.stripes(self.manifest.scheme):
            shards = stripe.addresses + stripe.parity
            sizes = stripe.sizes + (stripe.parity_size,) * len(stripe.parity)
            holders = stripe_holders(placement.members, shards)
            yield Group(len(stripe.addresses), shards, sizes, holders)

    def groups(self, placement: Placement, read: ReadChunk) -> Iterator[Group]:
        """Manifest, pages, then data. Raises what `read` raises when a page is missing."""
        yield from self.manifest_groups(placement)
        for page in self.pages(read):
            yield from self.page_groups(placement, page)


def read_layout(cid: Cid, read: ReadChunk) -> Layout:
    """The layout of an object whose manifest `read` can give."""
    data = read(cid.address)
    return Layout(cid, OuterManifest.decode(data), len(data))


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
