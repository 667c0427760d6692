"""Times of files are kept as they are within bounds, and refused or brought to the bound beyond."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inos.core.errors import BadInput
from inos.core.file_times import MAX_MODIFIED_MS, check_modified_ms, nearest_ms


@given(st.integers(-(1 << 70), 1 << 70))
def test_what_can_be_kept_is_kept(modified_ms: int) -> None:
    nearest = nearest_ms(modified_ms)
    assert abs(nearest) <= MAX_MODIFIED_MS and check_modified_ms(nearest) == nearest
    if nearest != modified_ms:
        with pytest.raises(BadInput, match="modified_ms"):
            check_modified_ms(modified_ms)
