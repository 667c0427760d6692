"""Batch framing: what is encoded comes back; whatever else comes is refused, never half taken."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.batch import BATCH_ITEM_MAX, BATCH_ITEMS_MAX, decode_batch, encode_batch
from inos.core.errors import BadFrame, BadInput, TooLarge
from inos.core.reports import BatchItem

items = st.builds(
    BatchItem,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.integers(0, 0o7777),
    st.integers(-(10**13), 10**13),
    st.binary(max_size=50),
)


@given(st.lists(items, max_size=8))
@settings(max_examples=60)
def test_what_is_encoded_comes_back(batch: list[BatchItem]) -> None:
    assert decode_batch(encode_batch(batch)) == batch


@given(st.binary(max_size=200))
@settings(max_examples=100)
def test_garbage_is_refused(body: bytes) -> None:
    if body:
        with pytest.raises((BadFrame, TooLarge)):
            decode_batch(body)


@given(st.lists(items, min_size=1, max_size=4), st.data())
@settings(max_examples=60)
def test_a_batch_cut_anywhere_is_refused_or_shorter(batch: list[BatchItem], data: st.DataObject) -> None:
    body = encode_batch(batch)
    cut = data.draw(st.integers(0, len(body) - 1))
    try:
        found = decode_batch(body[:cut])
    except BadFrame:
        return
    assert found == batch[: len(found)] and len(found) < len(batch)


def test_a_file_over_the_limit_is_refused() -> None:
    with pytest.raises(TooLarge):
        decode_batch(encode_batch([BatchItem("/a", 0o644, 0, bytes(BATCH_ITEM_MAX + 1))]))


def test_a_time_that_no_format_holds_is_refused() -> None:
    for modified_ms in (1 << 53, -(1 << 63), 1 << 200):
        with pytest.raises(BadInput, match="modified_ms must be from"):
            decode_batch(encode_batch([BatchItem("/a", 0o644, modified_ms, b"")]))


def test_a_batch_over_the_limit_is_refused() -> None:
    with pytest.raises(TooLarge):
        decode_batch(encode_batch([BatchItem("/a", 0o644, 0, bytes(BATCH_ITEM_MAX))] * 17))
    with pytest.raises(TooLarge):
        decode_batch(encode_batch([BatchItem("/a", 0o644, 0, b"")] * (BATCH_ITEMS_MAX + 1)))


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"{}",
        b"null",
        b'{"name":1,"mode":0,"modified_ms":0,"size":0}',
        b'{"name":"a","mode":true,"modified_ms":0,"size":0}',
        b'{"name":"a","mode":-1,"modified_ms":0,"size":0}',
        b'{"name":"a","mode":0,"modified_ms":"x","size":0}',
        b'{"name":"a","mode":0,"modified_ms":0,"size":1.5}',
        b"[" * 5000,
    ],
)
def test_a_wrong_header_is_refused(header: bytes) -> None:
    with pytest.raises(BadFrame):
        decode_batch(len(header).to_bytes(4, "big") + header)
