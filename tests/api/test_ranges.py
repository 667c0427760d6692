"""The Range header, against the definition itself."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.api.ranges import parse_range


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=200)
def test_a_range_selects_the_bytes_it_names(first: int, last: int, size: int) -> None:
    content = list(range(size))
    asked = parse_range(f"bytes={first}-{last}")
    if last < first:
        assert asked is None
        return
    assert asked is not None
    span = asked.resolve(size)
    expected = content[first : last + 1]
    assert (content[slice(*span)] if span else []) == expected


@given(st.integers(0, 60), st.integers(0, 60))
def test_open_and_suffix_ranges(number: int, size: int) -> None:
    content = list(range(size))
    to_end, suffix = parse_range(f"bytes={number}-"), parse_range(f"bytes=-{number}")
    assert to_end is not None and suffix is not None
    span = to_end.resolve(size)
    assert (content[slice(*span)] if span else []) == content[number:]
    span = suffix.resolve(size)
    assert (content[slice(*span)] if span else []) == (content[-number:] if number else [])


@pytest.mark.parametrize(
    "header", [None, "", "bytes=-", "bytes=a-b", "bytes=1-2,4-5", "chunks=1-2", "bytes=1", "bytes=²-3", "bytes=5-4"]
)
def test_what_is_not_one_range_is_ignored(header: str | None) -> None:
    assert parse_range(header) is None


@given(st.text(max_size=30))
def test_anything_parses_or_is_ignored(header: str) -> None:
    parse_range(header)
