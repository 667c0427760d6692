"""Seed phrases: BIP-39's published vectors, forgiving spelling, and errors that help without repeating the phrase."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.errors import BadInput
from inos.crypto.derive import MasterSecret
from inos.crypto.phrase import ENTROPY_BYTES, PHRASE_WORDS, master_from_phrase, new_phrase

# All that BIP-39 publishes for English (trezor/python-mnemonic, vectors.json): 12, 18 and 24 words; the seed is that
# under the passphrase "TREZOR".
PUBLISHED = json.loads((Path(__file__).parent / "vectors" / "bip39.json").read_text())
PHRASE = next(vector["phrase"] for vector in PUBLISHED if vector["phrase"].startswith("panda"))


@pytest.mark.parametrize("vector", PUBLISHED, ids=lambda vector: vector["entropy"][:16])
def test_published_vectors(vector: dict[str, str]) -> None:
    entropy, phrase = bytes.fromhex(vector["entropy"]), vector["phrase"]
    assert master_from_phrase(phrase, "TREZOR") == MasterSecret.from_seed(bytes.fromhex(vector["seed"]))
    if len(entropy) == ENTROPY_BYTES:
        assert new_phrase(entropy) == phrase


def test_there_are_all_published_vectors() -> None:
    words = sorted(len(vector["phrase"].split()) for vector in PUBLISHED)
    assert words == [12] * 8 + [18] * 8 + [24] * 8


@settings(max_examples=10, deadline=None)
@given(st.binary(min_size=32, max_size=32))
def test_every_new_phrase_reads_back(entropy: bytes) -> None:
    phrase = new_phrase(entropy)
    assert len(phrase.split(" ")) == PHRASE_WORDS
    assert master_from_phrase(phrase) == master_from_phrase(phrase)


@pytest.mark.parametrize(
    "spelled",
    [f"  {PHRASE}\n", PHRASE.upper(), PHRASE.title(), PHRASE.replace(" ", "\n"), PHRASE.replace(" ", " \t ")],
)
def test_spacing_and_case_do_not_matter(spelled: str) -> None:
    assert master_from_phrase(spelled) == master_from_phrase(PHRASE)


def test_the_optional_passphrase_matters() -> None:
    assert master_from_phrase(PHRASE, "x") != master_from_phrase(PHRASE)


def test_a_wrong_word_is_named_with_its_place_and_what_it_may_be() -> None:
    with pytest.raises(BadInput, match=r"word 3 .*'bulett'") as caught:
        master_from_phrase(PHRASE.replace("bullet", "bulett"))
    assert "bullet" in caught.value.hint
    assert_silent(caught.value, besides="bullet")


def test_a_word_like_no_other_gets_no_guess() -> None:
    with pytest.raises(BadInput) as caught:
        master_from_phrase(PHRASE.replace("bullet", "7777"))
    assert "did you mean" not in caught.value.hint


def test_a_long_wrong_word_is_cut() -> None:
    with pytest.raises(BadInput, match="'aaaaaaaaaaaa…'"):
        master_from_phrase(PHRASE.replace("bullet", "a" * 300))


@pytest.mark.parametrize("wrong", [PHRASE.replace("panda", "eyebrow"), " ".join(sorted(PHRASE.split()))])
def test_words_that_do_not_fit_together(wrong: str) -> None:
    with pytest.raises(BadInput, match="checksum") as caught:
        master_from_phrase(wrong)
    assert "order" in caught.value.hint
    assert_silent(caught.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "0 words"),
        ("panda", "1 words"),
        (PHRASE.rsplit(" ", 1)[0], "23 words"),
        (PHRASE + " inside", "25 words"),
        (PHRASE.replace(" ", "-"), "1 words"),
        ("panda " * 100_000, "more text"),
    ],
)
def test_another_number_of_words(text: str, found: str) -> None:
    with pytest.raises(BadInput, match=found) as caught:
        master_from_phrase(text)
    assert_silent(caught.value)


@pytest.mark.parametrize("word", ["\ud800", "\0", "págína", "熊猫"])
def test_words_of_no_alphabet_of_ours(word: str) -> None:
    with pytest.raises(BadInput, match="word 1 "):
        master_from_phrase(PHRASE.replace("panda", word))


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_entropy_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(BadInput, match="32 bytes"):
        new_phrase(b"e" * size)


def assert_silent(error: BadInput, besides: str = "") -> None:
    """No word of the phrase in what the error says; "word" itself is one of them in no vector used here."""
    said = f"{error} {error.hint} {error!r}".split()
    assert not {word for word in PHRASE.split() if word != besides} & {word.strip("'\",.?") for word in said}
