"""What the index will have of messages that were just stored, until it has it: at hand for indexing and for searches,
which would otherwise read each again. A cache and no more: whatever is not here is read. What is not made in a moment
is made of the message as it is stored when somebody asks for it; its writer does not wait for that.

Bytes, and not messages: some thousands of those are as many objects again as the whole program has, and have Python go
through all of them, for a tenth of a second at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from inos.core.messages.message import Message
from inos.core.messages.words import (
    MAX_WORDS,
    PLAIN_TABLE,
    PREFIX_FROM,
    long_text_of,
    long_text_of_json,
    text_of_json,
    words_of,
)
from inos.messages.labels import label, labels
from inos.messages.stored_form import json_in

# Twice what is indexed at a time (`SqliteCorpus.index_from`); of usual messages, half a kilobyte each.
MAX_FRESH: Final = 8_192
MAX_FRESH_BYTES: Final = 8 << 20
_SPACE: Final = ord(" ")
# What the longest short fields are together, and between them.
_FIELDS_CHARACTERS: Final = 1_000
# Values come again and again.
_KNOWN: Final = 4_096


class FreshWords:
    """By seq. Safe from several threads: what is forgotten while another looks is not there for it."""

    def __init__(self) -> None:
        self._of: dict[int, bytes] = {}
        self._bytes = 0

    def keep(self, seq: int, message: Message, stored: bytes) -> None:
        """A message that is committed; as long as there is room."""
        if len(self._of) < MAX_FRESH and self._bytes < MAX_FRESH_BYTES:
            kept = self._of[seq] = entry_at_once(message) or stored
            self._bytes += len(kept)

    def words(self, seq: int) -> bytes | None:
        """As `entry_in` gives them; None when they are not here."""
        found = self._of.get(seq)
        if found is not None and found[0] != _SPACE:
            found = self._of[seq] = entry_in(found)
        return found

    def forget(self, up_to: int) -> None:
        """All up to a seq are in the index."""
        for seq in [each for each in tuple(self._of) if each <= up_to]:
            self._of.pop(seq, None)
        self._bytes = sum(map(len, tuple(self._of.values())))


def entry_at_once(message: Message) -> bytes | None:
    """`entry_in` of a message, in a third of the time; None where that takes longer than its writer should wait."""
    text = long_text_of(message)
    if not text.isascii() or len(text) >= MAX_WORDS - _FIELDS_CHARACTERS:
        return None
    fields = _field("agent", message.agent)
    if message.task:
        fields += _field("task", message.task)
    if message.sender:
        fields += _field("sender", message.sender)
    if message.recipient:
        fields += _field("recipient", message.recipient)
    return b" %b%b%b" % (_words(text), fields, _told(message.kind, message.role, message.priority))


def entry_in(stored: bytes) -> bytes:
    """What goes into the index of a message as it is stored, as UTF-8: its words, a space around each, and its labels.
    It begins with a space, and no stored message does."""
    value = json_in(stored)
    text = long_text_of_json(value)
    if len(text) >= MAX_WORDS - _FIELDS_CHARACTERS:  # of which not all words may count, and those of fields come last
        return _long_entry(value)
    others = [_field(name, found) for name in ("agent", "task", "sender", "recipient") if (found := value.get(name))]
    told = _told(value["kind"], value.get("role", ""), value["priority"])
    return b" %b%b%b" % (_words(text), b"".join(others), told)


def _long_entry(value: Mapping[str, Any]) -> bytes:
    found = labels(
        value["agent"], value["kind"], value["priority"], value.get("task", ""), value.get("role", ""),
        value.get("recipient", ""),
    )  # fmt: skip
    return b" %b %b" % (_each_once(text_of_json(value)), found)


def _words(text: str) -> bytes:
    # The index parts words at the same places, and finds one that is not cut by its beginning: a tenth of the time.
    return text.encode().translate(PLAIN_TABLE) if text.isascii() else _each_once(text)


def _each_once(text: str) -> bytes:
    return " ".join(dict.fromkeys(words_of(text))).encode()


@lru_cache(_KNOWN)
def _told(kind: str, role: str, priority: int) -> bytes:
    """Of three fields that have few values, which are looked up together. It ends with a label: each word in front of
    it has a space behind it too."""
    told = _field("kind", kind) + (_field("role", role) if role else b"")
    return b"%b %b" % (told, label("priority", str(priority)))


@lru_cache(_KNOWN)
def _field(name: str, value: str) -> bytes:
    """The words of a short field, a space in front of each, and the label of one that can be asked for."""
    words = "".join(f" {each}" for each in words_of(value)).encode()
    return words if name == "sender" else b"%b %b" % (words, label(name, value))


def needles(wanted: Sequence[str]) -> list[bytes]:
    """What an entry contains, all of it, whose text has all words of a search."""
    return [f" {each}".encode() if len(each) >= PREFIX_FROM else f" {each} ".encode() for each in wanted]
