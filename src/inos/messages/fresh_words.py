"""The words of messages that were just stored, until they are in the index: at hand for indexing and for searches,
which would otherwise read, unpack and parse each message again. A cache and no more: whatever is not here is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from inos.core.messages.message import Message
from inos.core.messages.words import MAX_WORDS, PLAIN_TABLE, PREFIX_FROM, text_of, text_of_json, words_of
from inos.messages.labels import labels

# Twice what is indexed at a time (`SqliteCorpus.index_from`); of usual messages, half a kilobyte each.
MAX_FRESH: Final = 8_192
MAX_FRESH_BYTES: Final = 8 << 20


class FreshWords:
    """By seq. Safe from several threads: what is forgotten while another looks is not there for it."""

    def __init__(self) -> None:
        self._of: dict[int, bytes] = {}
        self._bytes = 0

    def keep(self, seq: int, message: Message) -> None:
        """Of a message that is committed; as long as there is room."""
        if len(self._of) < MAX_FRESH and self._bytes < MAX_FRESH_BYTES:
            found = self._of[seq] = entry_of(message)
            self._bytes += len(found)

    def words(self, seq: int) -> bytes | None:
        """As `entry_of` gives them; None when they are not here."""
        return self._of.get(seq)

    def forget(self, up_to: int) -> None:
        """All up to a seq are in the index."""
        for seq in [each for each in tuple(self._of) if each <= up_to]:
            self._of.pop(seq, None)
        self._bytes = sum(map(len, tuple(self._of.values())))


def entry_of(message: Message) -> bytes:
    """What goes into the index of a message, as UTF-8: its words, a space around each, and its labels."""
    return _entry(
        text_of(message), message.agent, message.kind, message.priority, message.task, message.role, message.recipient
    )


def entry_of_json(value: Mapping[str, Any]) -> bytes:
    """`entry_of` the message that `value` says, which was one when it was stored."""
    return _entry(
        text_of_json(value), value["agent"], value["kind"], value["priority"], value.get("task", ""),
        value.get("role", ""), value.get("recipient", ""),
    )  # fmt: skip


def _entry(text: str, agent: str, kind: str, priority: int, task: str, role: str, recipient: str) -> bytes:
    return b" %b %b" % (_words(text), labels(agent, kind, priority, task, role, recipient).encode())


def _words(text: str) -> bytes:
    # The index parts words at the same places, and finds one that is not cut by its beginning: a tenth of the time.
    if text.isascii() and len(text) < MAX_WORDS:
        return text.encode().translate(PLAIN_TABLE)
    return " ".join(dict.fromkeys(words_of(text))).encode()


def needles(wanted: Sequence[str]) -> list[bytes]:
    """What an entry contains, all of it, whose text has all words of a search."""
    return [f" {each}".encode() if len(each) >= PREFIX_FROM else f" {each} ".encode() for each in wanted]
