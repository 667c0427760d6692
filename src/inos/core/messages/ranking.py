"""Which of the messages found fit a search best, told from their JSON as it lies in a store: no message is made of it.

Better is what has the words more often than the others found have them, as whole words rather than as beginnings, in
less text. Every store ranks by this, so all show the same order. It takes some 5 us a message without accents.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from inos.core.messages.words import PLAIN_TABLE, PREFIX_FROM, plain

# Of those that match, the newest so many are compared.
RANKED: Final = 500
# How soon more of a word stops counting, and how much a long text takes away: what is usual where texts are ranked.
_ENOUGH: Final = 1.2
_LENGTH: Final = 0.75
_ESCAPE: Final = re.compile(rb"\\(?:u[0-9a-fA-F]{4}|.)")
_WORD: Final = re.compile(r"[^\W_]+")


def may_have(encoded: bytes, words: Sequence[str]) -> bool:
    """Whether the words of a search can be in a message, by its JSON: False is certain. A tenth of the time that it
    takes to be certain of True. In a text without accents nothing but the words themselves can be meant by them."""
    if not encoded.isascii():
        return True
    text = _spaced(encoded)
    return all(word.isascii() and b" " + word.encode() in text for word in words)


def best(encoded: Sequence[bytes], words: Sequence[str], most: int) -> list[int]:
    """The places of the `most` that fit best, best first; of equals the first. `encoded` is the JSON of messages that
    have the words."""
    texts = [_spaced(each) if each.isascii() else _folded(each) for each in encoded]
    counts = [[_occurs(text, word.encode()) for text in texts] for word in words]
    usual = [sum(each) / max(1, len(each)) for each in counts]
    length = sum(map(len, texts)) / max(1, len(texts))

    def score(place: int) -> float:
        around = _ENOUGH * (1 - _LENGTH + _LENGTH * len(texts[place]) / length)
        shares = (times[place] / each for times, each in zip(counts, usual, strict=True))
        return sum(share / (share + around) for share in shares)

    return sorted(range(len(texts)), key=score, reverse=True)[:most]


def _occurs(text: bytes, word: bytes) -> float:
    """How often, a beginning being half a word; not 0, since words that are cut or parted otherwise were found too."""
    whole = text.count(b" " + word + b" ")
    begins = text.count(b" " + word) if len(word) >= PREFIX_FROM else whole
    return max(1, whole + begins) / 2


def _spaced(encoded: bytes) -> bytes:
    """JSON without accents as small letters and digits; what parts words is spaces."""
    if b"\\" in encoded:
        encoded = _ESCAPE.sub(b" ", encoded)
    return encoded.translate(PLAIN_TABLE)


def _folded(encoded: bytes) -> bytes:
    unescaped = _ESCAPE.sub(b" ", encoded).decode(errors="replace")
    return f" {' '.join(_WORD.findall(plain(unescaped)))} ".encode()
