"""The words of a message and of a search: what counts as one, when a message has it, and what is shown of the place.

A word is a run of letters and digits, without regard to case and accents. A search is words, all of which must occur;
one of two letters or more is found by its beginning. Every place that searches (an agent's cache, each kind of hub)
goes by these functions, so that all find the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from inos.core.errors import BadInput

if TYPE_CHECKING:
    from inos.core.messages.message import Message

MAX_QUERY_WORDS: Final = 16
# What is longer is no word that anybody types: a hash, a picture in base64. It is found by its beginning.
MAX_WORD: Final = 64
# 256 KiB of prose has some 45,000; what a PostgreSQL text vector can place is 16,383.
MAX_WORDS: Final = 16_000
PREFIX_FROM: Final = 2
SNIPPET_CHARACTERS: Final = 160
FOUND_BEGIN: Final = "\x02"
FOUND_END: Final = "\x03"
_WORD: Final = re.compile(r"[^\W_]+")
# Letters and digits of ASCII, small; all else parts words.
PLAIN_TABLE: Final = bytes(ord(chr(each).lower()) if each < 128 and chr(each).isalnum() else 32 for each in range(256))
_SHORT_FIELDS: Final = ("kind", "agent", "task", "role", "sender", "recipient")  # those that are searched
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f\s]+")
_BEFORE: Final = 40  # characters shown in front of the first word found


def text_of(message: Message) -> str:
    """Everything of a message that is searched, its content first."""
    parts: list[str] = []
    _collect(message.content, parts)
    parts += (message.kind, message.agent, message.task, message.role, message.sender, message.recipient)
    parts += [each.name for each in message.attachments]
    return " \n".join(filter(None, parts))


def text_of_json(value: Mapping[str, Any]) -> str:
    """`text_of` the message that `value` says, which was one when it was stored."""
    parts: list[str] = []
    _collect(value["content"], parts)
    parts += [value.get(name, "") for name in _SHORT_FIELDS]
    parts += [each["name"] for each in value.get("attachments", ())]
    return " \n".join(filter(None, parts))


def long_text_of_json(value: Mapping[str, Any]) -> str:
    """Of that, all but the short fields."""
    return _long_text(value["content"], [each["name"] for each in value.get("attachments", ())])


def long_text_of(message: Message) -> str:
    """The same of a message."""
    return _long_text(message.content, [each.name for each in message.attachments] if message.attachments else ())


def _long_text(content: Any, names: Sequence[str]) -> str:
    parts: list[str] = []
    _collect(content, parts)
    return " \n".join((*parts, *names))


def _collect(value: Any, into: list[str]) -> None:
    if isinstance(value, str):
        into.append(value)
    elif isinstance(value, dict):
        for each in value.values():
            _collect(each, into)
    elif isinstance(value, list | tuple):
        for each in value:
            _collect(each, into)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        into.append(str(value))


def plain(text: str) -> str:
    """`text` without case and accents."""
    if text.isascii():
        return text.lower()
    parted = unicodedata.normalize("NFKD", text.casefold())
    accents = [each for each in set(parted) if unicodedata.combining(each)]
    return parted.translate(dict.fromkeys(map(ord, accents))) if accents else parted


def words_of(text: str) -> list[str]:
    """The words of a text in order, at most MAX_WORDS."""
    if text.isascii():  # a fifth of the time
        found = text.encode().translate(PLAIN_TABLE).decode().split()
        return [each[:MAX_WORD] for each in found[:MAX_WORDS]]
    return [match.group()[:MAX_WORD] for match in islice(_WORD.finditer(plain(text)), MAX_WORDS)]


def query_words(text: str) -> list[str]:
    """The words of a search, each once; none where the text is empty. Raises BadInput."""
    words = list(dict.fromkeys(words_of(text)))
    if text.strip() and not words:
        raise BadInput("there is no word in the text to search for", hint="a word is letters and digits")
    if len(words) > MAX_QUERY_WORDS:
        raise BadInput(f"a search has at most {MAX_QUERY_WORDS} words, not {len(words)}")
    return words


def has_words(text: str, wanted: Sequence[str]) -> bool:
    """Whether all words of a search occur in a text."""
    if text.isascii() and len(text) < MAX_WORDS:  # a fifth of the time
        spaced = b" %b " % text.encode().translate(PLAIN_TABLE)
        return all((b" %b" if len(each) >= PREFIX_FROM else b" %b ") % each.encode() in spaced for each in wanted)
    words = set(words_of(text))
    return all(word in words or _begins_one(words, word) for word in wanted)


def _begins_one(words: set[str], wanted: str) -> bool:
    return len(wanted) >= PREFIX_FROM and any(word.startswith(wanted) for word in words)


def shown(message: Message, wanted: Sequence[str]) -> str:
    """What a search shows of a message that it found: a snippet of the content; where that has none of the words, the
    first field that has one, its name in front."""
    content = snippet(_long_text(message.content, ()), wanted)
    if FOUND_BEGIN in content:
        return content
    fields = [(name, getattr(message, name)) for name in _SHORT_FIELDS]
    for name, value in (*fields, *(("attachment", each.name) for each in message.attachments)):
        if value and FOUND_BEGIN in (found := snippet(value, wanted)):
            return f"{name}: {found}"
    return content


def snippet(text: str, wanted: Sequence[str]) -> str:
    """About SNIPPET_CHARACTERS of a text around the first word found, words found between \\x02 and \\x03."""
    shown = unicodedata.normalize("NFC", _CONTROLS.sub(" ", text)).strip()
    places = [match.span() for match in _pattern(wanted).finditer(_aligned(shown))] if wanted else []
    begin = max(0, places[0][0] - _BEFORE) if places else 0
    begin = shown.find(" ", begin, begin + _BEFORE) + 1 if begin else 0
    end = min(len(shown), begin + SNIPPET_CHARACTERS)
    parts, at = ["…" if begin else ""], begin
    for first, last in places:
        if begin <= first and last <= end:
            parts += (shown[at:first], FOUND_BEGIN, shown[first:last], FOUND_END)
            at = last
    return "".join((*parts, shown[at:end], "…" if end < len(shown) else ""))


def _pattern(wanted: Sequence[str]) -> re.Pattern[str]:
    """Finds the words of a search, in plain text, to their ends."""
    ends = [word + (r"[^\W_]*" if len(word) >= PREFIX_FROM else r"(?![^\W_])") for word in wanted]
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(sorted(ends, reverse=True))})")


def _aligned(shown: str) -> str:
    """`shown` without case and accents, each character in the place of its own: one that becomes several stays."""
    if shown.isascii():
        return shown.lower()
    plain_of = {each: made if len(made := plain(each)) == 1 else each for each in set(shown)}
    return "".join([plain_of[each] for each in shown])
