"""Messages as values: ids keep the order of writing, marks merge, JSON and questions come back as they went."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.errors import BadInput, Conflict, InosError
from inos.core.messages.ids import TAIL_BYTES, MessageId, from_bytes, next_id, parse_id, time_of, to_bytes
from inos.core.messages.marks import MARK_NAMES, STATES, Mark, Marks
from inos.core.messages.message import (
    MAX_CONTENT_BYTES,
    MAX_JSON_DEPTH,
    MAX_TIME_MS,
    Attachment,
    Draft,
    Message,
    canonical,
    parse_json,
)
from inos.core.messages.query import MessagePage, MessageQuery, StoredMessage
from inos.core.messages.quick import read_batch, read_message
from inos.core.messages.sync import Ack, Batch, Result, decode_batch

TAILS = st.binary(min_size=TAIL_BYTES, max_size=TAIL_BYTES)
TIMES = st.integers(0, MAX_TIME_MS)
WORDS = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
AGENTS = st.from_regex(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,12}[A-Za-z0-9])?", fullmatch=True)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
PLAIN = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
)
CONTENTS: st.SearchStrategy[Any] = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)
IDS = st.builds(lambda now, tail: next_id(now, tail, None), st.integers(0, (1 << 48) - 1), TAILS)
ATTACHMENTS = st.builds(Attachment, TEXTS.filter(bool), TEXTS.filter(bool), st.integers(0, 2**63 - 1))
MESSAGES = st.builds(
    Message, IDS, TIMES, AGENTS, CONTENTS, WORDS, st.integers(0, 9), TEXTS, st.just("") | WORDS, TEXTS, TEXTS,
    st.none() | IDS, st.lists(ATTACHMENTS, max_size=3).map(tuple),
)  # fmt: skip
VALUES = (
    CONTENTS | st.text(max_size=5) | st.integers(-5, 15) | IDS | AGENTS | WORDS
    | st.lists(st.dictionaries(st.sampled_from(["name", "reference", "size_bytes", "media_type", "x"]), PLAIN))
)  # fmt: skip
MARKS = st.builds(
    lambda made: Marks(made),
    st.dictionaries(
        st.sampled_from(MARK_NAMES), st.builds(Mark, st.integers(0, 5), st.sampled_from(["a", "b"]), st.booleans())
    ),
)
QUERIES = st.builds(
    MessageQuery, st.just("") | AGENTS, TEXTS, TEXTS, TEXTS, TEXTS, st.integers(0, 9), TIMES, TIMES,
    st.sampled_from(["", "open", *STATES]), st.sampled_from(["", "word", "two words"]),
    st.sampled_from(["newest", "oldest"]), st.just("") | st.integers(0, 10**18).map(str), st.integers(1, 500),
)  # fmt: skip


class TestIds:
    @settings(max_examples=50)
    @given(st.lists(st.tuples(st.integers(0, (1 << 48) - 2), TAILS), min_size=2, max_size=30))
    def test_grow_whatever_the_clock_does(self, moments: list[tuple[int, bytes]]) -> None:
        last: MessageId | None = None
        for now_ms, chance in moments:
            made = next_id(now_ms, chance, last)
            if last is not None:
                assert made > last
                assert to_bytes(made) > to_bytes(last), "text and bytes sort alike"
            last = made

    @given(st.integers(0, (1 << 48) - 1), TAILS)
    def test_are_uuids_of_version_7_that_hold_their_time(self, now_ms: int, chance: bytes) -> None:
        made = next_id(now_ms, chance, None)
        read = uuid.UUID(made)
        assert (read.version, read.variant) == (7, uuid.RFC_4122)
        assert time_of(made) == now_ms
        assert from_bytes(to_bytes(parse_id(made))) == made

    def test_a_millisecond_that_ran_out_goes_on_in_the_next(self) -> None:
        full = bytes([0xFF]) * TAIL_BYTES
        last = next_id(7, full, None)
        made = next_id(7, full, last)
        assert made > last
        assert time_of(made) == 8

    @pytest.mark.parametrize(
        "text", ["", "0", "01a21e41-4a9d-4d52-84bc-361e79528b9a", "01A21E41-4A9D-7D52-84BC-361E79528B9A"]
    )
    def test_what_is_none_is_refused(self, text: str) -> None:
        with pytest.raises(BadInput, match="not a message id"):
            parse_id(text)


class TestMarks:
    @given(MARKS, MARKS, MARKS)
    def test_merge_in_any_order_and_as_often_as_they_come(self, one: Marks, two: Marks, three: Marks) -> None:
        assert one.merge(two) == two.merge(one)
        assert one.merge(two).merge(three) == one.merge(two.merge(three))
        assert one.merge(one) == one
        assert one.merge(two).merge(two) == one.merge(two)

    @given(MARKS)
    def test_come_back_from_json(self, marks: Marks) -> None:
        assert Marks.from_json(json.loads(json.dumps(marks.to_json()))) == marks

    def test_the_later_one_holds_and_the_furthest_is_the_state(self) -> None:
        marks = Marks().with_mark("read", Mark(1, "a", True)).with_mark("executed", Mark(2, "a", True))
        assert marks.state == "executed"
        assert marks.with_mark("executed", Mark(1, "z", False)).state == "executed", "an older one changes nothing"
        assert marks.with_mark("executed", Mark(3, "a", False)).state == "read"


class TestMessages:
    @settings(max_examples=40)
    @given(MESSAGES)
    def test_come_back_from_json_the_same_and_canonical(self, message: Message) -> None:
        encoded = message.encode()
        assert encoded == canonical("message", message.to_json())
        assert Message.decode(encoded) == message
        assert Message.decode(json.dumps(json.loads(encoded), indent=1).encode()).encode() == encoded

    @settings(max_examples=40)
    @given(MESSAGES)
    def test_one_that_is_stored_comes_back(self, message: Message) -> None:
        stored = StoredMessage(message, 7, 8, Marks().with_mark("read", Mark(1, "me", True)), "found")
        page = MessagePage((stored,), "7")
        assert MessagePage.from_json(json.loads(json.dumps(page.to_json()))) == page

    @pytest.mark.parametrize(
        ("changed", "complaint"),
        [
            ({"agent": "no spaces"}, "agent"),
            ({"kind": "Report"}, "kind must be a word"),
            ({"priority": 10}, "priority must be a whole number from 0 to 9"),
            ({"priority": True}, "priority"),
            ({"time_ms": MAX_TIME_MS + 1}, "time_ms"),
            ({"task": "t" * 201}, "task"),
            ({"task": "\ud800"}, "half a character"),
            ({"content": float("nan")}, "no JSON"),
            ({"content": "x" * MAX_CONTENT_BYTES}, "over"),
            ({"unknown": 1}, "no field 'unknown'"),
            ({"v": 2}, "newer release"),
            ({"attachments": [{}]}, "attachment"),
        ],
    )
    def test_a_wrong_field_is_named(self, changed: dict[str, Any], complaint: str) -> None:
        sound = {"id": next_id(1, bytes(TAIL_BYTES), None), "time_ms": 1, "agent": "a", "content": 1}
        Message.from_json(sound)
        with pytest.raises(BadInput, match=complaint):
            Message.from_json(sound | changed)

    def test_nesting_has_an_end(self) -> None:
        deep: Any = 1
        for _ in range(MAX_JSON_DEPTH + 1):
            deep = [deep]
        sound = {"id": next_id(1, bytes(TAIL_BYTES), None), "time_ms": 1, "agent": "a"}
        allowed = Message.from_json(sound | {"content": deep[0]})
        assert Message.decode(allowed.encode()) == allowed
        with pytest.raises(BadInput, match="nested"):
            Message.from_json(sound | {"content": deep})
        with pytest.raises(BadInput, match=r"no JSON|nested"):
            Message.decode(b"[" * 100_000)

    @settings(max_examples=40)
    @given(MESSAGES)
    def test_a_draft_is_the_message_without_id_and_time(self, message: Message) -> None:
        fields = {name: value for name, value in message.to_json().items() if name not in ("v", "id", "time_ms")}
        assert Draft.from_json(fields).written(message.id, message.time_ms) == message


class TestQueries:
    @given(QUERIES)
    def test_come_back_from_the_parameters_of_a_url(self, query: MessageQuery) -> None:
        assert MessageQuery.from_params(query.to_params()) == query

    @pytest.mark.parametrize(
        "params",
        [
            {"limit": "0"},
            {"limit": "501"},
            {"limit": "x"},
            {"order": "up"},
            {"state": "new"},
            {"after": "-1"},
            {"x": "1"},
        ],
    )
    def test_wrong_ones_are_refused(self, params: dict[str, str]) -> None:
        with pytest.raises(BadInput):
            MessageQuery.from_params(params)


class TestSync:
    @settings(max_examples=20)
    @given(st.lists(MESSAGES, min_size=1, max_size=4), TEXTS)
    def test_a_batch_comes_back(self, messages: list[Message], node: str) -> None:
        received = decode_batch(Batch("b", node, tuple(messages), "hub").encode())
        assert (received.batch, received.node, received.hub) == ("b", node, "hub")
        assert received.messages == messages

    def test_a_bad_message_does_not_hold_up_the_others(self) -> None:
        good = Message(next_id(1, bytes(TAIL_BYTES), None), 1, "a", "content")
        bad = good.to_json() | {"priority": 77}
        received = decode_batch(json.dumps({"batch": "b", "node": "n", "messages": [bad, good.to_json()]}).encode())
        refused, taken = received.messages
        assert isinstance(refused, Result)
        assert (refused.id, refused.fate) == (good.id, "refused")
        assert taken == good

    def test_an_answer_comes_back_with_its_errors(self) -> None:
        results = (Result("i", "stored", 5), Result("j", "refused", 0, Conflict("another", hint="do this")))
        read = Ack.from_json(json.loads(json.dumps(Ack("hub", results, 4).to_json())))
        odd = Ack('h"ub', (*results, Result('"},\ud800é', "duplicate", 9)), 4)
        assert json.loads(odd.encode()) == odd.to_json()
        assert (read.hub, read.covered_seq, read.results[0]) == ("hub", 4, results[0])
        error = read.results[1].error
        assert isinstance(error, InosError)
        assert (type(error), error.message, error.hint) == (Conflict, "another", "do this")


class TestQuickReading:
    """What is read quickly is what the law reads; what is not is left to it."""

    @settings(max_examples=300)
    @given(MESSAGES)
    def test_it_reads_what_was_written(self, message: Message) -> None:
        read = read_message(message.encode())
        if read is not None:
            assert (read, read.encode(), type(read)) == (message, message.encode(), Message)
            assert read == Message.decode(message.encode()) and hash(read.id) == hash(message.id)

    @settings(max_examples=600)
    @given(MESSAGES, st.data())
    def test_it_accepts_nothing_that_the_law_refuses(self, message: Message, data: st.DataObject) -> None:
        fields = message.to_json()
        name = data.draw(st.sampled_from([*fields, "attachments", "reply_to", "role", "sender", "other"]))
        fields[name] = data.draw(VALUES)
        encoded = json.dumps(fields, ensure_ascii=data.draw(st.booleans())).encode("utf-8", "surrogatepass")
        self.same(encoded)

    @pytest.mark.parametrize(
        "changed",
        [
            b'"v":1.0', b'"v":true', b'"v":2', b'"priority":5.0', b'"priority":true', b'"priority":10', b'"time_ms":-0',
            b'"task":null', b'"task":"\\u0000"', b'"task":"\\ud800"', b'"task":"\xff"', b'"role":"Coder"', b'"role":""',
            b'"kind":"lead\\n"', b'"agent":"ada\\n"', b'"reply_to":null', b'"attachments":null', b'"attachments":[{}]',
            b'"content":1e400', b'"content":NaN', b'"content":1.50', b'"content":-0', b'"content":18446744073709551616',
            b'"content":"\\ud83d\\ude00"', b'"content":"\\ud83d"', b'"content":{"b":1,"a":2,"b":3}',
            b'"content":' + b"[" * 63 + b"]" * 63, b'"content":' + b"[" * 70 + b"]" * 70,
            b'"content":' + b"9" * 5000, b'"content":"' + b"x" * MAX_CONTENT_BYTES + b'"',
            b'"attachments":[{"name":"","reference":"r"}]', b'"attachments":[{"name":"n","reference":"r"}]',
            b'"attachments":[{"name":"n","reference":"r","size_bytes":-1}]', b'"attachments":[]',
            b'"task":"","sender":"","recipient":""', b'"kind":"report","priority":5,"v":1', b'"kind":null', b'"v":null',
            b'"reply_to":"01890a5d-ac96-774b-bcce-b302099a8057"', b'"reply_to":"01890A5d-ac96-774b-bcce-b302099a8057"',
        ],
    )  # fmt: skip
    def test_what_is_unusual_is_the_same_as_by_the_law(self, changed: bytes) -> None:
        self.same(b'{"id":"01890a5d-ac96-774b-bcce-b302099a8057","time_ms":5,"agent":"ada","content":0,%b}' % changed)
        self.same(b" " + b'{"id":"01890a5d-ac96-774b-bcce-b302099a8057\n","time_ms":5,"agent":"ada",%b}' % changed)

    def same(self, encoded: bytes) -> None:
        """A quick answer is that of the law; so is a batch's, which takes whichever there is."""
        try:
            law = Message.decode(encoded)
        except BadInput:
            assert read_message(encoded) is None
        else:
            assert read_message(encoded) in (None, law)
        batch = b'{"batch":"b","node":"n","messages":[%b]}' % encoded
        try:
            value = parse_json("a batch", batch, len(batch))
        except BadInput:
            with pytest.raises(BadInput):
                decode_batch(batch)
            return
        (read,) = decode_batch(batch).messages
        try:
            assert read == Message.from_json(value["messages"][0]) and isinstance(read, Message)
            assert read.encode() == Message.from_json(value["messages"][0]).encode()
        except BadInput as refused:
            assert isinstance(read, Result) and read.fate == "refused" and read.error is not None
            assert read.error.message == refused.message

    def test_a_batch_is_read_with_its_names(self) -> None:
        messages = tuple(Message(next_id(n, bytes(10), None), n, "ada", {"n": n}) for n in range(3))
        encoded = Batch("b" * 100, "node", messages, "hub").encode()
        assert read_batch(encoded) is not None
        read = decode_batch(encoded)
        assert (read.batch, read.node, tuple(read.messages), read.hub) == ("b" * 64, "node", messages, "hub")
        with pytest.raises(BadInput, match="1 to 500"):
            decode_batch(Batch("b", "n", ()).encode())
