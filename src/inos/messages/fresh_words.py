"""The words of messages that were just stored, until they are in the index: at hand for indexing and for searches,
which would otherwise read, unpack and parse each message again. A cache and no more: whatever is not here is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from inos.core.messages.message import Message
from inos.core.messages.words import PREFIX_FROM, text_of, words_of

# What comes in two seconds at the rate that a hub is made for; of usual messages, a megabyte or two.
MAX_FRESH: Final = 2_000
# Packed; what is longer is rare, and would make 2,000 of them many megabytes.
MAX_FRESH_BYTES: Final = 2_048


class FreshWords:
    """By seq. Safe from several threads: what is forgotten while another looks is not there for it."""

    def __init__(self) -> None:
        self._of: dict[int, Message | str] = {}

    def keep(self, seq: int, message: Message, packed_bytes: int) -> None:
        """Of a message that is committed; as long as there is room."""
        if packed_bytes <= MAX_FRESH_BYTES and len(self._of) < MAX_FRESH:
            self._of[seq] = message

    def words(self, seq: int) -> str | None:
        """As `indexed_words` gives them; None when they are not here."""
        found = self._of.get(seq)
        if isinstance(found, Message):  # writers do not wait for this
            found = self._of[seq] = indexed_words(text_of(found))
        return found

    def forget(self, up_to: int) -> None:
        """All up to a seq are in the index."""
        for seq in [each for each in tuple(self._of) if each <= up_to]:
            self._of.pop(seq, None)


def indexed_words(text: str) -> str:
    """What goes into the index of a text: its words, each once, spaces between."""
    return " ".join(dict.fromkeys(words_of(text)))


def among(words: str, wanted: Sequence[str]) -> bool:
    """Whether `indexed_words` are those of a text that has all words of a search."""
    spaced = f" {words} "
    return all((f" {each}" if len(each) >= PREFIX_FROM else f" {each} ") in spaced for each in wanted)
