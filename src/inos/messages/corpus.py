"""The contract of a hub's corpus: all messages that reached it, what was done with them, and how they are found.

Rules for implementers, checked by one suite (`testing/corpus.py`): blocking, safe from several threads; what `insert`
and `mark` return has been synced; an id has one row however often it comes; seq starts at 1, grows by one with each
message stored and never changes; a reader that saw seq n sees every seq below n. Full-text indexing may lag behind
(`index_step`), yet a search finds what is not indexed so far by going through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from inos.core.messages.marks import Mark, MarkName, Marks
from inos.core.messages.message import Message
from inos.core.messages.query import MessagePage, MessageQuery, StoredMessage
from inos.core.messages.sync import Result

# Of stored (compressed) messages, so that a page of long ones is neither held nor sent whole.
MAX_ANSWER_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class CorpusStats:
    """How much there is. `unindexed` messages are found more slowly."""

    messages: int
    unread: int
    last_seq: int
    last_mark_seq: int
    used_bytes: int
    unindexed: int


@dataclass(frozen=True, slots=True)
class MarkChange:
    """The marks of one message as of `mark_seq`, which grows with each change of any message's marks."""

    id: str
    marks: Marks
    mark_seq: int


class Writing(Protocol):
    """Messages and marks in."""

    def insert(self, messages: Sequence[Message], now_ms: int) -> list[Result]:
        """All of them in one synced transaction, in order; what became of each: stored, duplicate (the same message
        under that id is there), or refused with a Conflict (another is). StorageFull: nothing was stored."""

    def mark(self, ids: Sequence[str], name: MarkName, mark: Mark) -> list[StoredMessage]:
        """Merge a mark into each. NotFound names the first that is missing; then nothing was marked."""

    def merge_marks(self, changes: Sequence[tuple[str, Marks]]) -> None:
        """Merge marks made elsewhere; those of messages that are not here are passed over."""

    def index_step(self, most: int) -> int:
        """Index up to `most` messages for searching, fewer of long ones; how many were."""


class Reading(Protocol):
    """What is asked of a corpus."""

    def query(self, query: MessageQuery) -> MessagePage:
        """A page; it ends early at MAX_ANSWER_BYTES. Every query follows an index; its cost does not grow with what
        lies outside of it."""

    def get(self, message_id: str) -> StoredMessage:
        """NotFound."""

    def after(self, seq: int, limit: int) -> list[StoredMessage]:
        """Up to `limit` messages behind `seq`, in order; fewer where they are over MAX_ANSWER_BYTES, none at the
        end."""

    def marks_after(self, mark_seq: int, limit: int) -> list[MarkChange]:
        """Up to `limit` changes of marks behind `mark_seq`, in order; of one message only its latest."""

    def stats(self) -> CorpusStats:
        """Cheap: asked for every few seconds."""


class Corpus(Writing, Reading, Protocol):
    """A whole corpus. `identity` names it: another one whenever a corpus begins anew or is restored elsewhere."""

    @property
    def identity(self) -> str:
        """A UUID, made with the corpus."""

    @property
    def index_from(self) -> int:
        """How many messages it is worth while to index together."""

    @property
    def at_once(self) -> int:
        """How many of its calls are to run side by side, 0 for any number. Where another machine answers, a call may be
        long in coming back, and each that waits has a thread that the rest of the node needs too."""

    def close(self) -> None:
        """Let running calls finish. May be called twice."""
