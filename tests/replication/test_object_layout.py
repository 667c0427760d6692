"""The groups of an object's pieces, read back from what is stored of it."""

from __future__ import annotations

import pytest

from fuzz import samples
from inos.core.errors import BadFrame, NotFound
from inos.core.ids import Address, Cid, OwnerId
from inos.objects.layout import COPIES, Scheme
from inos.objects.manifest import BuiltObject
from inos.replication.durability import Group
from inos.replication.layout import Layout, assigned_to, layout_of, read_layout
from inos.replication.placement import Placement, copy_holders, stripe_holders
from inos.testing.members import fixed_key

MEMBERS = tuple(fixed_key("layout", number).public_key for number in range(4))


class Chunks:
    """Gives an object's chunks and notes which were read."""

    def __init__(self, built: BuiltObject) -> None:
        self.stored = dict(built.manifest_chunks)
        self.read: list[Address] = []

    def __call__(self, address: Address) -> bytes:
        self.read.append(address)
        if address not in self.stored:
            raise NotFound("a page is missing")
        return self.stored[address]


def placed(built: BuiltObject, scheme: Scheme, copies: int = 2) -> Placement:
    return Placement(built.reference.cid, OwnerId(bytes(32)), scheme, copies, MEMBERS, 0)


def opened(built: BuiltObject) -> tuple[Layout, Chunks]:
    chunks = Chunks(built)
    return read_layout(built.reference.cid, chunks), chunks


def test_stripes_in_pages_of_their_own() -> None:
    built = samples.in_pages()
    layout, chunks = opened(built)
    placement = placed(built, Scheme(2, 1))
    manifest, *pages_and_stripes = layout.groups(placement, chunks)
    pages, stripes = pages_and_stripes[:2], pages_and_stripes[2:]
    cid = built.reference.cid
    assert manifest.addresses == (cid.address, cid.address)
    assert manifest.sizes == (len(chunks.stored[cid.address]),) * 2
    assert manifest.holders == copy_holders(placement, cid.address)
    assert [page.addresses[0] for page in pages] == list(layout.manifest.pages)
    for number, stripe in enumerate(stripes):
        own = samples.chunks()[2 * number : 2 * number + 2]
        assert stripe.need == 2
        assert stripe.addresses[:2] == tuple(chunk.address for chunk in own)
        assert stripe.sizes[:2] == tuple(len(chunk.stored) for chunk in own)
        assert len(stripe.addresses) == len(stripe.sizes) == 3
        assert stripe.holders == stripe_holders(MEMBERS, stripe.addresses)
        assert len(set(stripe.holders)) == 3
    assert len(stripes) == 2


def test_pages_are_read_only_as_they_come() -> None:
    layout, chunks = opened(samples.in_pages())
    assert len(chunks.read) == 1
    groups = layout.groups(placed(samples.in_pages(), Scheme(2, 1)), chunks)
    for _ in range(4):  # the manifest, two pages, the first stripe
        next(groups)
    assert len(chunks.read) == 2
    assert len(list(groups)) == 1
    assert len(chunks.read) == 3


@pytest.mark.parametrize(("from_chunk", "firsts"), [(0, [0]), (1, [0]), (2, [])])
def test_groups_from_a_chunk_on(from_chunk: int, firsts: list[int]) -> None:
    built = samples.in_pages()
    layout, chunks = opened(built)
    page = layout.page(0, chunks)
    found = layout.page_groups(placed(built, Scheme(2, 1)), page, from_chunk)
    assert [first for first, _ in found] == firsts


def test_copies_with_their_page_in_the_manifest() -> None:
    built = samples.in_place()
    layout, chunks = opened(built)
    placement = placed(built, COPIES, copies=3)
    _, data = layout.groups(placement, chunks)
    (sealed,) = samples.chunks()[:1]
    assert data == Group(1, (sealed.address,) * 3, (len(sealed.stored),) * 3, copy_holders(placement, sealed.address))
    assert chunks.read == [built.reference.cid.address]


def test_a_small_object_is_its_manifest_alone() -> None:
    built = samples.inline()
    layout, chunks = opened(built)
    (manifest,) = layout.groups(placed(built, COPIES), chunks)
    assert manifest.addresses == (built.reference.cid.address,) * 2
    assert list(layout.pages(chunks)) == []


def test_what_is_missing_or_garbled() -> None:
    built = samples.in_pages()
    layout, chunks = opened(built)
    del chunks.stored[layout.manifest.pages[1]]
    groups = layout.groups(placed(built, Scheme(2, 1)), chunks)
    with pytest.raises(NotFound):
        list(groups)
    with pytest.raises(BadFrame):
        layout_of(Cid(bytes(32)), b"no manifest")


def test_what_a_member_keeps_of_a_group() -> None:
    a, b, c = (Address(bytes([number]) * 32) for number in range(3))
    few = Group(2, (a, b, c), (1, 1, 1), (MEMBERS[0], MEMBERS[1], MEMBERS[0]))
    assert assigned_to(few, MEMBERS[0]) == [a, c]
    assert assigned_to(few, MEMBERS[1]) == [b]
    assert assigned_to(few, MEMBERS[2]) == []
    twice = Group(2, (a, a), (1, 1), (MEMBERS[0], MEMBERS[0]))
    assert assigned_to(twice, MEMBERS[0]) == [a]  # equal chunks of one stripe are one piece
