"""Words at hand: found by them is what is found by the text, few are kept, and not for longer than they are needed."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.messages.words import has_words, words_of
from inos.messages.fresh_words import MAX_FRESH, MAX_FRESH_BYTES, FreshWords, among, indexed_words
from inos.testing.corpus import message

TEXTS = st.text("ab0_ -éß\n", max_size=24)


@settings(max_examples=200)
@given(TEXTS, TEXTS)
def test_the_words_tell_what_the_text_tells(text: str, asked: str) -> None:
    wanted = words_of(asked)
    assert among(indexed_words(text), wanted) == has_words(text, wanted)


def test_they_are_few_short_and_forgotten() -> None:
    fresh = FreshWords()
    fresh.keep(1, message(1, content="Pear pear"), 100)
    fresh.keep(2, message(2), MAX_FRESH_BYTES + 1)
    assert (fresh.words(1) or "").startswith("pear ") and fresh.words(2) is None
    for seq in range(3, MAX_FRESH + 10):
        fresh.keep(seq, message(seq), 100)
    assert fresh.words(MAX_FRESH + 1) is not None and fresh.words(MAX_FRESH + 2) is None
    fresh.forget(MAX_FRESH)
    assert fresh.words(MAX_FRESH) is None and fresh.words(MAX_FRESH + 1) is not None
