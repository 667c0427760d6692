"""How an error names what it was given: whatever that is, nothing of it is run, walked through or shown at length."""

from __future__ import annotations


def said(value: object, most: int = 80) -> str:
    """`value` in an error: the beginning of a text, a small value whole, else only what kind of thing it is."""
    if isinstance(value, str):
        return repr(value[:most])
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 1 << 64):
        return repr(value)
    return f"something of type {type(value).__name__[:most]}"
