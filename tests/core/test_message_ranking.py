"""Words of messages told from their JSON: what is passed over has them not, the best come first."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.messages.message import Message, canonical
from inos.core.messages.ranking import best, may_have
from inos.core.messages.words import MAX_WORD, PREFIX_FROM, has_words, query_words, text_of, text_of_json, words_of
from inos.testing.corpus import message

# Escapes of JSON, what parts words, accents, and letters that become several.
LETTERS = 'abn0_ -."\\/\n\t\u0001\x7fBNéßﬁ'
TEXTS = st.text(LETTERS, max_size=24)
CONTENTS: st.SearchStrategy[Any] = TEXTS | st.lists(TEXTS, max_size=3) | st.dictionaries(TEXTS, TEXTS, max_size=2)


def slowly(text: str, wanted: list[str]) -> bool:
    words = set(words_of(text))
    return all(
        word in words or (len(word) >= PREFIX_FROM and any(each.startswith(word) for each in words)) for word in wanted
    )


@settings(max_examples=300)
@given(CONTENTS, TEXTS)
def test_what_has_the_words_is_never_passed_over(content: Any, asked: str) -> None:
    written = message(1, content=content, task="", kind="x")
    wanted = words_of(asked)[:3]
    assert text_of_json(written.to_json()) == text_of(written)
    assert has_words(text_of(written), wanted) == slowly(text_of(written), wanted)
    if slowly(text_of(written), wanted):
        assert may_have(written.encode(), wanted)


def test_words_are_cut_and_counted_alike_with_and_without_accents() -> None:
    text = f"{'x' * 100} a_b C-3 " * 2
    assert words_of(text) == words_of(text + "é")[:-1] == ["x" * MAX_WORD, "a", "b", "c", "3"] * 2
    assert has_words(text, query_words("x" * 100)) and not has_words(text, ["d"])


@pytest.mark.parametrize(
    ("better", "worse", "asked"),
    [
        ("pear pear", "pear", "pear"),
        ("pear", "pear and a lot of other words that nobody asked for", "pear"),
        ("pear", "pears", "pear"),
        ("the pear, the pear", "the pear", "the pear"),
        ("poire d'été, l'été", "poire d'été, l'hiver", "ete"),
    ],
)
def test_the_better_one_comes_first(better: str, worse: str, asked: str) -> None:
    found = [canonical("", message(n, content=each).to_json()) for n, each in enumerate((worse, better))]
    assert best(found, query_words(asked), 2) == [1, 0]
    assert best(found, query_words(asked), 1) == [1]


def test_of_equals_the_first_come_first() -> None:
    same: list[Message] = [message(n, content="pear", task="t", kind="x") for n in range(10, 15)]
    assert best([each.encode() for each in same], ["pear"], 5) == [0, 1, 2, 3, 4]
    assert best([], ["pear"], 5) == []
