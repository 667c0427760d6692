"""The suite every corpus of a hub passes: subclass `CorpusSuite`, supply a fresh one."""

from __future__ import annotations

import itertools
import random
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.env import RealEnv
from inos.core.errors import BadInput, Conflict, NotFound
from inos.core.messages.ids import MessageId, next_id
from inos.core.messages.marks import MARK_NAMES, Mark, Marks
from inos.core.messages.message import MAX_CONTENT_BYTES, Attachment, Message
from inos.core.messages.query import MessageQuery, StoredMessage
from inos.core.messages.sync import MAX_BATCH
from inos.core.messages.words import has_words, query_words, text_of
from inos.messages.corpus import Corpus
from inos.testing.run import trio_test

NOW_MS: Final = 1_800_000_000_000
FILES: Final = (Attachment("plan.txt", "inos:1"),)


def message_id(number: int) -> MessageId:
    """The id of message `number`; their order is that of the numbers."""
    return next_id(NOW_MS + number, number.to_bytes(10, "big"), None)


def message(number: int, **fields: Any) -> Message:
    """Message `number`."""
    given: dict[str, Any] = {"agent": "ada", "content": {"text": f"message {number}"}, "time_ms": NOW_MS + number}
    return Message(id=message_id(number), **(given | fields))


def inserted(corpus: Corpus, messages: Sequence[Message]) -> None:
    for start in range(0, len(messages), MAX_BATCH):
        results = corpus.insert(messages[start : start + MAX_BATCH], NOW_MS)
        assert {each.fate for each in results} == {"stored"}


def pages(corpus: Corpus, query: Callable[[str], MessageQuery]) -> list[StoredMessage]:
    """All pages of a query, which is made for the cursor of each."""
    found: list[StoredMessage] = []
    after = ""
    while True:
        page = corpus.query(query(after))
        found += page.messages
        after = page.next
        if not after:
            return found


def mixed(count: int, seed: int = 1) -> list[Message]:
    """Messages of which every filter finds some; their times are not in the order of their arrival."""
    chance = random.Random(seed)  # noqa: S311 - repeatable by intent
    return [
        message(
            number,
            agent=chance.choice(["ada", "bob", "cyd"]),
            task=chance.choice(["", "", "scrape", "sum up"]),
            role=chance.choice(["", "recruiter", "coder"]),
            kind=chance.choice(["report", "report", "error", "lead"]),
            recipient=chance.choice(["", "eve"]),
            priority=chance.randrange(10),
            time_ms=NOW_MS + number * 1000 - chance.choice([0, 0, 0, 500_000]),
            content={"text": " ".join(chance.choice(["alpha", "beta", "gamma", "delta"]) for _ in range(3))},
        )
        for number in range(count)
    ]


# What a store, a query language or a wire could take for something else.
_ODD: Final = (
    "'", '"', "\\", "\\0", "%", "_", "\x01", "\x7f", "\u2028", "é", "e\u0301", "\U0001f600", "\ufffe", "\uffff",
    "\ufeff", "\nb", "::text", "$1", "%s", "{}", "İ", "'; --", "\u200d", "\u202e", "\U0010ffff",
)  # fmt: skip
ODD_TEXTS: Final = ("ODD", " odd ", *(f"odd{each}" for each in _ODD))
NO_TEXTS: Final = ("\0", "odd\0", "\ud800", "odd\udfff", "\ude00\ud83d")

QUERIES: Final[list[dict[str, Any]]] = [
    {},
    {"agent": "ada"},
    {"task": "scrape"},
    {"task": "sum up", "agent": "bob"},
    {"role": "coder"},
    {"kind": "error"},
    {"recipient": "eve"},
    {"recipient": "eve", "kind": "lead", "role": "coder"},
    {"priority": 9},
    {"priority": 7},
    {"priority": 7, "agent": "ada"},
    {"state": "unread"},
    {"state": "archived"},
    {"state": "open"},
    {"state": "open", "priority": 8},
    {"state": "acknowledged", "agent": "cyd"},
    {"since_ms": NOW_MS + 100_000},
    {"until_ms": NOW_MS + 20_000},
    {"since_ms": NOW_MS + 50_000, "until_ms": NOW_MS + 60_000},
    {"since_ms": NOW_MS + 50_000, "until_ms": NOW_MS + 90_000, "agent": "ada", "priority": 2},
    {"since_ms": NOW_MS + 90_000_000},
    {"text": "alpha"},
    {"text": "ALPHA bet"},
    {"text": "alpha beta gamma delta"},
    {"text": "gam", "agent": "bob"},
    {"text": "delta", "state": "open", "priority": 5, "since_ms": NOW_MS + 30_000},
    {"text": "error"},
    {"text": "nowhere"},
    {"agent": "nobody"},
]


def expected(all_stored: Sequence[StoredMessage], fields: dict[str, Any], newest: bool) -> list[str]:
    """The ids a query must give, by going through all."""
    query = MessageQuery(**fields)
    found = [each for each in all_stored if _matches(each, query)]
    return [each.message.id for each in (reversed(found) if newest else found)]


def _matches(each: StoredMessage, query: MessageQuery) -> bool:
    message, state = each.message, each.marks.state
    return (
        all(
            getattr(query, name) in ("", getattr(message, name))
            for name in ("agent", "task", "role", "kind", "recipient")
        )
        and message.priority >= query.priority
        and query.since_ms <= message.time_ms < query.until_ms
        and (query.state in ("", state) or (query.state == "open" and state != "archived"))
        and has_words(text_of(message), query_words(query.text))
    )


class CorpusSuite:
    """The contract of `inos.messages.corpus`, as tests."""

    @abstractmethod
    def fresh(self, root: Path) -> AbstractContextManager[Corpus]:
        """A corpus that keeps what it needs under `root`; asked again with the same `root` it is the same one."""

    @pytest.fixture
    def corpus(self, tmp_path: Path) -> Iterator[Corpus]:
        with self.fresh(tmp_path) as corpus:
            yield corpus

    def test_what_is_inserted_is_got(self, corpus: Corpus) -> None:
        whole = message(
            1, kind="lead", priority=9, task="find", role="recruiter", sender="someone", recipient="all of us",
            reply_to=message_id(0), attachments=(Attachment("a.txt", "inos:/a.txt", 5, "text/plain"),),
            content=["\0", "ü", {"deep": [1, 2.5, None, True, "\x02"]}, "x" * 5000],
        )  # fmt: skip
        (result,) = corpus.insert([whole], NOW_MS)
        assert (result.id, result.fate, result.seq, result.error) == (whole.id, "stored", 1, None)
        stored = corpus.get(whole.id)
        assert stored == StoredMessage(whole, 1, NOW_MS)
        assert stored.marks.state == "unread"

    def test_nothing_is_nothing(self, corpus: Corpus) -> None:
        assert corpus.insert([], NOW_MS) == []
        assert corpus.query(MessageQuery()).messages == ()
        assert corpus.query(MessageQuery(text="word")).next == ""
        assert corpus.after(0, 10) == []
        assert corpus.marks_after(0, 10) == []
        assert corpus.index_step(10) == 0
        corpus.merge_marks([])
        stats = corpus.stats()
        assert (stats.messages, stats.unread, stats.last_seq, stats.last_mark_seq, stats.unindexed) == (0, 0, 0, 0, 0)

    def test_an_absent_one_is_not_found(self, corpus: Corpus) -> None:
        with pytest.raises(NotFound):
            corpus.get(message_id(1))
        with pytest.raises(BadInput):
            corpus.get("no id")

    def test_the_longest_message(self, corpus: Corpus) -> None:
        noise = random.Random(1).randbytes(MAX_CONTENT_BYTES // 2 - 10).hex()  # noqa: S311
        longest = message(1, content=noise)
        corpus.insert([longest], NOW_MS)
        assert corpus.get(longest.id).message == longest
        corpus.index_step(10)
        assert len(corpus.query(MessageQuery(text=noise[:20])).messages) == 1

    def test_one_id_has_one_row(self, corpus: Corpus) -> None:
        first, second, third = message(1), message(2), message(3)
        results = corpus.insert([first, first, second], NOW_MS)
        assert [(each.fate, each.seq) for each in results] == [("stored", 1), ("duplicate", 1), ("stored", 2)]
        results = corpus.insert([second, first, third], NOW_MS + 5)
        assert [(each.fate, each.seq) for each in results] == [("duplicate", 2), ("duplicate", 1), ("stored", 3)]
        assert corpus.stats().messages == 3
        assert corpus.get(first.id).received_ms == NOW_MS

    def test_other_content_under_an_id_is_refused_alone(self, corpus: Corpus) -> None:
        corpus.insert([message(1)], NOW_MS)
        other, following = message(1, content="other"), message(2)
        results = corpus.insert([other, following], NOW_MS)
        assert [each.fate for each in results] == ["refused", "stored"]
        assert isinstance(results[0].error, Conflict) and results[0].seq == 0
        assert results[1].seq == 2
        assert corpus.get(other.id).message == message(1)

    def test_too_many_at_once_are_refused(self, corpus: Corpus) -> None:
        with pytest.raises(BadInput):
            corpus.insert([message(number) for number in range(MAX_BATCH + 1)], NOW_MS)
        assert corpus.stats().messages == 0

    def test_after_gives_all_in_order(self, corpus: Corpus) -> None:
        messages = [message(number) for number in range(25)]
        inserted(corpus, messages)
        found: list[StoredMessage] = []
        while part := corpus.after(found[-1].seq if found else 0, 10):
            found += part
        assert [each.message for each in found] == messages
        assert [each.seq for each in found] == list(range(1, 26))

    def test_marks_are_merged_and_counted(self, corpus: Corpus) -> None:
        inserted(corpus, [message(1), message(2), message(3)])
        assert corpus.stats().unread == 3
        (marked,) = corpus.mark([message_id(2)], "read", Mark(NOW_MS, "eve", True))
        assert marked == corpus.get(message_id(2))
        assert marked.marks.state == "read" and marked.message == message(2)
        assert corpus.stats().unread == 2
        corpus.mark([message_id(2)], "archived", Mark(NOW_MS, "eve", True))
        corpus.mark([message_id(2)], "archived", Mark(NOW_MS - 1, "eve", False))  # an older one changes nothing
        assert corpus.get(message_id(2)).marks.state == "archived"
        corpus.mark([message_id(2)], "archived", Mark(NOW_MS + 1, "eve", False))
        corpus.mark([message_id(2), message_id(1)], "read", Mark(NOW_MS + 1, "eve", False))
        assert corpus.get(message_id(2)).marks.state == "unread"
        assert corpus.stats().unread == 3

    def test_marks_are_all_made_or_none(self, corpus: Corpus) -> None:
        inserted(corpus, [message(1)])
        with pytest.raises(NotFound) as missing:
            corpus.mark([message_id(1), message_id(9)], "read", Mark(NOW_MS, "eve", True))
        assert message_id(9) in missing.value.message
        assert corpus.get(message_id(1)).marks == Marks()
        assert (corpus.stats().unread, corpus.stats().last_mark_seq) == (1, 0)

    def test_changes_of_marks_are_told_once_each_in_order(self, corpus: Corpus) -> None:
        inserted(corpus, [message(number) for number in range(1, 5)])
        for number in (3, 1, 3):
            corpus.mark([message_id(number)], "read", Mark(NOW_MS + number, "eve", True))
        assert [change.id for change in corpus.marks_after(0, 10)] == [message_id(3), message_id(1)]
        corpus.mark([message_id(3)], "archived", Mark(NOW_MS, "eve", True))
        changes = corpus.marks_after(0, 10)
        assert [change.id for change in changes] == [message_id(1), message_id(3)]
        assert changes[1].marks.state == "archived"
        assert changes[1].mark_seq == corpus.stats().last_mark_seq
        assert corpus.marks_after(changes[0].mark_seq, 10) == changes[1:]
        assert corpus.marks_after(0, 1) == changes[:1]

    def test_marks_made_elsewhere_come_to_the_same_end(self, corpus: Corpus) -> None:
        inserted(corpus, [message(1), message(2)])
        here = Mark(NOW_MS + 5, "eve", True)
        corpus.mark([message_id(1)], "read", here)
        there = Marks({"read": Mark(NOW_MS + 1, "bob", False), "executed": Mark(NOW_MS, "bob", True)})
        for _ in range(2):
            corpus.merge_marks([(message_id(9), there), (message_id(1), there)])
        assert corpus.get(message_id(1)).marks == Marks({"read": here, "executed": there.marks["executed"]})
        assert corpus.stats().last_mark_seq == 2
        assert corpus.stats().unread == 1

    @pytest.mark.parametrize("indexed", [0, 70, 200])
    def test_every_query_gives_what_going_through_all_gives(self, corpus: Corpus, indexed: int) -> None:
        inserted(corpus, mixed(200))
        chance = random.Random(2)  # noqa: S311
        for name in (*MARK_NAMES, *MARK_NAMES):
            ids = [message_id(number) for number in chance.sample(range(200), 20)]
            corpus.mark(ids, name, Mark(NOW_MS, "eve", True))
            if indexed and name == MARK_NAMES[-1] and corpus.stats().unindexed == 200:
                assert corpus.index_step(indexed) == indexed
        stored = corpus.after(0, 500)
        assert len(stored) == 200
        for fields in QUERIES:
            for order in ("newest", "oldest"):
                for limit in (23, 500):

                    def query(after: str, fields: Any = fields, order: Any = order, limit: int = limit) -> MessageQuery:
                        return MessageQuery(**fields, order=order, limit=limit, after=after)

                    found = [each.message.id for each in pages(corpus, query)]
                    assert found == expected(stored, fields, order == "newest"), (fields, order, limit)

    def test_pages_stay_true_while_messages_arrive(self, corpus: Corpus) -> None:
        inserted(corpus, [message(number) for number in range(10)])
        newest = corpus.query(MessageQuery(limit=4))
        oldest = corpus.query(MessageQuery(limit=4, order="oldest"))
        inserted(corpus, [message(number) for number in range(10, 15)])
        rest = corpus.query(MessageQuery(after=newest.next))
        assert [each.seq for each in (*newest.messages, *rest.messages)] == list(range(10, 0, -1))
        rest = corpus.query(MessageQuery(after=oldest.next, order="oldest"))
        assert [each.seq for each in (*oldest.messages, *rest.messages)] == list(range(1, 16))

    def test_a_full_page_that_is_the_last_has_no_next(self, corpus: Corpus) -> None:
        inserted(corpus, [message(number) for number in range(4)])
        assert corpus.query(MessageQuery(limit=4)).next == ""
        assert corpus.query(MessageQuery(limit=3)).next != ""

    def test_a_page_of_long_messages_ends_early(self, corpus: Corpus) -> None:
        chance = random.Random(3)  # noqa: S311
        messages = [
            message(number, content=chance.randbytes(MAX_CONTENT_BYTES // 2 - 10).hex()) for number in range(40)
        ]
        for each in messages:
            inserted(corpus, [each])
        assert len(corpus.query(MessageQuery(limit=100)).messages) < 40
        assert len(corpus.after(0, 100)) < 40
        found = pages(corpus, lambda after: MessageQuery(after=after, order="oldest", limit=100))
        assert [each.message for each in found] == messages

    @pytest.mark.parametrize("indexed", [False, True])
    def test_a_search_shows_what_it_found(self, corpus: Corpus, indexed: bool) -> None:
        long = "some text in front " * 20 + "the Café burned down " + "and much behind it " * 20
        named = [message(2, task="cafe visit"), message(3, attachments=FILES)]
        inserted(corpus, [message(1, content={"text": long}), *named])
        if indexed:
            assert corpus.index_step(10) == 3
            assert corpus.stats().unindexed == 0
        found = corpus.query(MessageQuery(text="CAFÉ")).messages
        assert [each.message.id for each in found] == [message_id(2), message_id(1)]
        assert "\x02Café\x03 burned down" in found[1].snippet
        assert found[1].snippet.startswith("…") and found[1].snippet.endswith("…") and len(found[1].snippet) < 200
        assert found[0].snippet == "task: \x02cafe\x03 visit"
        # Of the content alone, unless it has none of the words.
        for asked, snippet in (
            ("message 3 report", "\x02message\x03 \x023\x03"),
            ("plan", "attachment: \x02plan\x03.txt"),
            ("ada cafe", "agent: \x02ada\x03"),
        ):
            assert corpus.query(MessageQuery(text=asked)).messages[0].snippet == snippet
        assert not corpus.query(MessageQuery()).messages[0].snippet
        assert not corpus.query(MessageQuery(text="caf burnt")).messages
        assert len(corpus.query(MessageQuery(text="caf bur")).messages) == 1

    @pytest.mark.parametrize(
        "text",
        ['"', "alpha OR", "al*", "NEAR(a b)", "text:alpha", "-alpha", "(", "alpha'; DROP", "a & b | !c", "\\", ":*"],
    )
    def test_what_is_typed_is_words_and_no_language(self, corpus: Corpus, text: str) -> None:
        inserted(corpus, [message(1, content="Alpha or near")])
        corpus.index_step(10)
        try:
            query = MessageQuery(text=text)
        except BadInput:
            return
        found = corpus.query(query).messages
        assert bool(found) == has_words(text_of(message(1, content="Alpha or near")), query_words(text))

    def test_any_text_that_a_message_takes_is_kept_and_found(self, corpus: Corpus) -> None:
        messages = [
            message(number, task=text, sender=text, recipient=text, content={text: [text, "\0"]}, attachments=(file,))
            for number, text in enumerate(ODD_TEXTS)
            for file in [Attachment(text, text, media_type=text)]
        ]
        inserted(corpus, messages)
        corpus.index_step(len(messages) // 2)
        for each in messages:
            assert corpus.get(each.id).message == each
            for query in (MessageQuery(task=each.task), MessageQuery(recipient=each.recipient)):
                assert [found.message for found in corpus.query(query).messages] == [each]
        assert len(corpus.query(MessageQuery(text="odd", limit=500)).messages) == len(messages)

    def test_what_is_no_text_reaches_no_corpus(self, corpus: Corpus) -> None:
        inserted(corpus, [message(1, content="odd")])
        for wrong in NO_TEXTS:
            for name in ("agent", "task", "role", "kind", "recipient", "sender"):
                with pytest.raises(BadInput, match=name if name != "agent" else "an agent"):
                    message(2, **{name: wrong})
            for name in ("agent", "task", "role", "kind", "recipient", "text", "order", "state", "after"):
                asked: dict[str, Any] = {name: wrong}
                with pytest.raises(BadInput):
                    corpus.query(MessageQuery(**asked))
            with pytest.raises(BadInput):
                corpus.get(wrong)
            with pytest.raises(BadInput):
                Attachment(wrong, "inos:1")
        for half in ("\ud800", {"\udfff": 1}, ["a", {"b": "\ud83d"}]):
            with pytest.raises(BadInput, match="content holds half a character"):
                message(2, content=half)
        assert len(corpus.query(MessageQuery(text="odd")).messages) == 1

    def test_the_best_come_first(self, corpus: Corpus) -> None:
        filler = " and then many other words that nobody is looking for at all" * 5
        inserted(corpus, [message(1, content="zebra zebra zebra"), message(2, content="zebra" + filler)])
        inserted(corpus, [message(number, content="a lion" + filler) for number in range(3, 30)])
        corpus.index_step(100)
        found = corpus.query(MessageQuery(text="zebra", order="best"))
        assert [each.message.id for each in found.messages] == [message_id(1), message_id(2)]
        assert found.next == "" and "\x02zebra\x03" in found.messages[0].snippet
        assert len(corpus.query(MessageQuery(text="lion", order="best", limit=5)).messages) == 5

    def test_words_of_every_script_are_found(self, corpus: Corpus) -> None:
        texts = [
            "Straße nach Zürich",
            "Привет мир",
            "東京タワー",
            "שלום עולם",
            "naïve façade",
            "x_y snake_case",
            "v2.10.3",
        ]
        inserted(corpus, [message(number, content=text) for number, text in enumerate(texts)])
        for indexed in (False, True):
            if indexed:
                assert corpus.index_step(50) == len(texts)
            asked = ["STRASSE zurich", "привет", "東京", "עולם", "naive facade", "case y", "10 3"]
            for number, text in enumerate(asked):
                found = corpus.query(MessageQuery(text=text)).messages
                assert [each.message.id for each in found] == [message_id(number)], text

    def test_any_words_are_found_as_by_going_through_all(self, tmp_path: Path) -> None:
        words = st.text(alphabet="aBäß1 _-.'\"日é\x02\n٣½", max_size=12)

        @settings(max_examples=15, deadline=None)
        @given(st.lists(words, min_size=1, max_size=6), st.lists(words, min_size=1, max_size=6), st.integers(0, 6))
        def run(texts: list[str], asked: list[str], indexed: int) -> None:
            with self.fresh(tmp_path / str(next(counter))) as corpus:
                messages = [message(number, content=text) for number, text in enumerate(texts)]
                inserted(corpus, messages)
                corpus.index_step(max(1, indexed))
                for text in [*asked, *texts]:
                    try:
                        query = MessageQuery(text=text, order="oldest")
                    except BadInput:
                        continue
                    found = [each.message for each in corpus.query(query).messages]
                    wanted = query_words(text)
                    assert found == [each for each in messages if has_words(text_of(each), wanted)], text

        counter = itertools.count()
        run()

    def test_indexing_falls_behind_by_a_bounded_number(self, corpus: Corpus) -> None:
        for start in range(0, 11_500, MAX_BATCH):
            inserted(corpus, [message(number) for number in range(start, start + MAX_BATCH)])
        assert 0 < corpus.stats().unindexed <= 10_500
        assert len(corpus.query(MessageQuery(text="message 71", order="oldest")).messages) == 100
        assert len(corpus.query(MessageQuery(text="message 1149", limit=500)).messages) == 11

    @trio_test
    async def test_several_threads_write_and_read(self, corpus: Corpus) -> None:
        env = RealEnv()

        def write(start: int) -> None:
            for number in range(start, start + 20):
                (result,) = corpus.insert([message(number)], NOW_MS)
                assert corpus.get(result.id).seq == result.seq

        def read() -> None:
            for _ in range(40):
                found = [each.seq for each in corpus.after(0, 500)]
                assert found == list(range(1, len(found) + 1))
                corpus.stats()
                corpus.index_step(5)

        async with trio.open_nursery() as nursery:
            for start in (0, 100, 200):
                nursery.start_soon(env.in_thread, write, start)
            for _ in range(2):
                nursery.start_soon(env.in_thread, read)
        assert [each.seq for each in corpus.after(0, 100)] == list(range(1, 61))
        assert corpus.stats().unread == 60

    def test_all_of_it_is_there_when_it_is_opened_again(self, tmp_path: Path) -> None:
        with self.fresh(tmp_path) as corpus:
            inserted(corpus, mixed(30))
            corpus.mark([message_id(3)], "read", Mark(NOW_MS, "eve", True))
            corpus.index_step(20)
            before = (corpus.identity, corpus.after(0, 100), corpus.stats().unread, corpus.stats().last_mark_seq)
            corpus.close()
            corpus.close()
        with self.fresh(tmp_path) as corpus:
            stats = corpus.stats()
            assert (corpus.identity, corpus.after(0, 100), stats.unread, stats.last_mark_seq) == before
            assert (stats.messages, stats.unindexed) == (30, 10)
            assert stats.used_bytes > 0
            (result,) = corpus.insert([message(99)], NOW_MS)
            assert result.seq == 31

    def test_each_corpus_has_an_identity_of_its_own(self, tmp_path: Path) -> None:
        with self.fresh(tmp_path / "one") as one, self.fresh(tmp_path / "other") as other:
            assert one.identity != other.identity
            assert len(one.identity) == 36
