"""Checks that decoders of state share: version, exact sizes, bounded and printable text.

Every failure is BadFrame, except a version from the future, which is NewerFormat and leaves the bytes alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from inos.core.errors import BadFrame, NewerFormat


def check_version(found: int, known: int, what: str) -> None:
    """Versions start at 1; 0 is what an empty message reads as."""
    if found == 0:
        raise BadFrame(f"{what} has no version")
    if found > known:
        raise NewerFormat(f"{what} has version {found}, this release reads up to {known}", hint="update INOS here")


def exactly(data: bytes, size: int, what: str) -> bytes:
    """`data`, when it has `size` bytes."""
    if len(data) != size:
        raise BadFrame(f"{what} must have {size} bytes, not {len(data)}")
    return data


def line(text: str, max_chars: int, what: str) -> str:
    """`text`, when it is short and printable: it ends up in terminals and logs."""
    if len(text) > max_chars:
        raise BadFrame(f"{what} has {len(text)} characters, over the limit of {max_chars}")
    if not text.isprintable():
        raise BadFrame(f"{what} holds control characters")
    return text


def at_most(items: Sequence[object], limit: int, what: str) -> None:
    """A list from outside is counted before it is walked."""
    if len(items) > limit:
        raise BadFrame(f"{what}: {len(items)} entries, over the limit of {limit}")
