"""Words at hand: found by them is what is found by the text, few are kept, and not for longer than they are needed."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.messages.message import Message
from inos.core.messages.words import MAX_WORDS, has_words, text_of, words_of
from inos.messages.fresh_words import MAX_FRESH, MAX_FRESH_BYTES, FreshWords, entry_at_once, entry_in, needles
from inos.messages.labels import label
from inos.messages.stored_form import pack
from inos.testing.corpus import message

TEXTS = st.text("ab0_ -éß\n\ue000", max_size=24)


@settings(max_examples=200)
@given(TEXTS, TEXTS, TEXTS)
def test_the_words_tell_what_the_text_tells(text: str, task: str, asked: str) -> None:
    written = message(1, content=text, task=task, role="coder", sender=asked[:1].strip("\0"))
    wanted = words_of(asked)
    entry = entry_in(written.encode())
    assert all(each in entry for each in needles(wanted)) == has_words(text_of(written), wanted)
    assert entry_in(pack(written.encode())) == entry
    assert entry_at_once(written) in (entry, None)
    assert (entry_at_once(written) is None) == (not text.isascii())


def test_of_a_text_without_end_the_first_words_count() -> None:
    long = message(1, content=" ".join(f"w{number}" for number in range(MAX_WORDS + 5)), task="errand")
    entry = entry_in(long.encode())
    for asked in ("w0", f"w{MAX_WORDS - 1}", f"w{MAX_WORDS + 1}", "errand"):
        assert all(each in entry for each in needles([asked])) == has_words(text_of(long), [asked]), asked
    assert label("task", "errand") in entry and label("agent", "ada") in entry and entry_at_once(long) is None


def keep(fresh: FreshWords, seq: int, written: Message) -> None:
    fresh.keep(seq, written, written.encode())


def test_they_are_few_short_and_forgotten() -> None:
    fresh = FreshWords()
    keep(fresh, 1, message(1, content="Pear pear"))
    assert (fresh.words(1) or b"").startswith(b" pear pear ") and fresh.words(2) is None
    keep(fresh, 2, message(2, content="Päar päar"))
    assert (fresh.words(2) or b"").startswith(b" paar ")
    for seq in range(4, MAX_FRESH + 10):
        keep(fresh, seq, message(seq))
    assert fresh.words(MAX_FRESH + 1) is not None and fresh.words(MAX_FRESH + 2) is None
    fresh.forget(MAX_FRESH)
    assert fresh.words(MAX_FRESH) is None and fresh.words(MAX_FRESH + 1) is not None


def test_they_take_a_bounded_number_of_bytes() -> None:
    fresh, long = FreshWords(), message(1, content="pear " * 2_000)
    most = MAX_FRESH_BYTES // len(entry_at_once(long) or b"") + 1
    for seq in range(1, most + 5):
        keep(fresh, seq, long)
    assert fresh.words(most) is not None and fresh.words(most + 1) is None
    fresh.forget(most)
    keep(fresh, most + 6, long)
    assert fresh.words(most + 6) is not None
