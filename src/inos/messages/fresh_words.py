"""Messages that were just stored, as they are stored, until they are in the index: at hand for indexing and for
searches, which would otherwise read each again. A cache and no more: whatever is not here is read.

Bytes, and not messages: some thousands of those are as many objects again as the whole program has, and have Python go
through all of them, for a tenth of a second at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from inos.core.messages.words import MAX_WORDS, PLAIN_TABLE, PREFIX_FROM, text_of_json, words_of
from inos.messages.labels import labels
from inos.messages.stored_form import json_in

# Twice what is indexed at a time (`SqliteCorpus.index_from`); of usual messages, half a kilobyte each.
MAX_FRESH: Final = 8_192
MAX_FRESH_BYTES: Final = 8 << 20
_SPACE: Final = ord(" ")


class FreshWords:
    """By seq. Safe from several threads: what is forgotten while another looks is not there for it."""

    def __init__(self) -> None:
        self._of: dict[int, bytes] = {}
        self._bytes = 0

    def keep(self, seq: int, stored: bytes) -> None:
        """A message that is committed; as long as there is room."""
        if len(self._of) < MAX_FRESH and self._bytes < MAX_FRESH_BYTES:
            self._of[seq] = stored
            self._bytes += len(stored)

    def words(self, seq: int) -> bytes | None:
        """As `entry_in` gives them; None when they are not here."""
        found = self._of.get(seq)
        if found is not None and found[0] != _SPACE:  # writers do not wait for this
            found = self._of[seq] = entry_in(found)
        return found

    def forget(self, up_to: int) -> None:
        """All up to a seq are in the index."""
        for seq in [each for each in tuple(self._of) if each <= up_to]:
            self._of.pop(seq, None)
        self._bytes = sum(map(len, tuple(self._of.values())))


def entry_in(stored: bytes) -> bytes:
    """What goes into the index of a message as it is stored, as UTF-8: its words, a space around each, and its labels.
    It begins with a space, and no stored message does."""
    value = json_in(stored)
    return _entry(
        text_of_json(value), value["agent"], value["kind"], value["priority"], value.get("task", ""),
        value.get("role", ""), value.get("recipient", ""),
    )  # fmt: skip


def _entry(text: str, agent: str, kind: str, priority: int, task: str, role: str, recipient: str) -> bytes:
    return b" %b %b" % (_words(text), labels(agent, kind, priority, task, role, recipient))


def _words(text: str) -> bytes:
    # The index parts words at the same places, and finds one that is not cut by its beginning: a tenth of the time.
    if text.isascii() and len(text) < MAX_WORDS:
        return text.encode().translate(PLAIN_TABLE)
    return " ".join(dict.fromkeys(words_of(text))).encode()


def needles(wanted: Sequence[str]) -> list[bytes]:
    """What an entry contains, all of it, whose text has all words of a search."""
    return [f" {each}".encode() if len(each) >= PREFIX_FROM else f" {each} ".encode() for each in wanted]
