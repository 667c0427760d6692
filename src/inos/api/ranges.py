"""The Range header (RFC 9110, section 14): one range of bytes, or none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_ONE_RANGE: Final = re.compile(r"bytes=\s*([0-9]{0,19})-([0-9]{0,19})\s*")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """`first`-`last` as written; `first` None is a suffix of `last` bytes, `last` None is to the end."""

    first: int | None
    last: int | None

    def resolve(self, size: int) -> tuple[int, int] | None:
        """[start, end) within `size` bytes, or None when it cannot be satisfied."""
        if self.first is None:
            start, end = max(0, size - (self.last or 0)), size
        else:
            start, end = self.first, size if self.last is None else min(self.last + 1, size)
        return (start, end) if start < end else None


def parse_range(header: str | None) -> ByteRange | None:
    """The range asked for. As the RFC says, what is not one range of bytes is ignored and the whole is sent."""
    match = _ONE_RANGE.fullmatch(header or "")
    if match is None or match.group(0).strip() == "bytes=-":
        return None
    first, last = (int(text) if text else None for text in match.groups())
    if first is None and last is None:
        return None
    if first is not None and last is not None and last < first:
        return None
    return ByteRange(first, last)
