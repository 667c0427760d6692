"""Times of files, in whole milliseconds since 1970 and within bounds: a file system takes what no format holds."""

from __future__ import annotations

import os
from typing import Final

from inos.core.errors import BadInput

# Whole numbers that JSON carries exactly to every language; some 285,000 years either way.
MAX_MODIFIED_MS: Final = (1 << 53) - 1


def check_modified_ms(modified_ms: int) -> int:
    """`modified_ms`, if it can be kept. Raises BadInput."""
    if not -MAX_MODIFIED_MS <= modified_ms <= MAX_MODIFIED_MS:
        raise BadInput(f"modified_ms must be from -{MAX_MODIFIED_MS} to {MAX_MODIFIED_MS}", hint="leave it out")
    return modified_ms


def nearest_ms(modified_ms: int) -> int:
    """The nearest time that can be kept."""
    return max(-MAX_MODIFIED_MS, min(MAX_MODIFIED_MS, modified_ms))


def modified_ms_of(status: os.stat_result) -> int:
    """When a file was changed last, or the nearest time that can be kept."""
    return nearest_ms(status.st_mtime_ns // 1_000_000)
