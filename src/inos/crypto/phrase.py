"""Seed phrases (BIP-39, English): making one, and getting the master secret back from one.

Errors name the word that is wrong and never repeat the phrase: they end up in terminals and logs.
"""

from __future__ import annotations

import difflib
import unicodedata
from functools import lru_cache
from typing import Final

from mnemonic import Mnemonic

from inos.core.errors import BadInput
from inos.crypto.derive import MasterSecret

ENTROPY_BYTES: Final = 32
PHRASE_WORDS: Final = 24
# The lengths BIP-39 defines; we make 24 and accept what another tool made.
_ACCEPTED_WORDS: Final = (12, 15, 18, 21, 24)
# The longest English BIP-39 word has 8 letters; more than this is somebody's paste, and not repeated.
_SHOWN_LETTERS: Final = 12
# 24 words of 8 letters make 215 characters; spacing may vary.
_MAX_PHRASE_CHARACTERS: Final = 2048


@lru_cache(maxsize=1)
def _english() -> Mnemonic:
    return Mnemonic("english")


@lru_cache(maxsize=1)
def _known_words() -> frozenset[str]:
    return frozenset(_english().wordlist)


def new_phrase(entropy: bytes) -> str:
    """The 24 words that stand for 32 unpredictable bytes."""
    if len(entropy) != ENTROPY_BYTES:
        raise BadInput(f"a phrase is made from {ENTROPY_BYTES} bytes, got {len(entropy)}")
    words: str = _english().to_mnemonic(entropy)
    return words


def master_from_phrase(phrase: str, passphrase: str = "") -> MasterSecret:
    """The master secret of a phrase (and of BIP-39's optional passphrase). Spacing and case do not matter. Raises
    BadInput, naming the word, when it is not a phrase."""
    words = _words(phrase)
    for position, word in enumerate(words, start=1):
        if word not in _known_words():
            raise _unknown_word(position, word)
    normal = " ".join(words)
    if not _english().check(normal):
        raise BadInput(
            "the phrase's checksum does not fit: all words exist, but one is wrong or they are out of order",
            hint="compare every word and their order with what you wrote down",
        )
    return MasterSecret.from_seed(Mnemonic.to_seed(normal, passphrase))


def _words(phrase: str) -> list[str]:
    words = unicodedata.normalize("NFKD", phrase[: _MAX_PHRASE_CHARACTERS + 1]).lower().split()
    if len(phrase) > _MAX_PHRASE_CHARACTERS or len(words) not in _ACCEPTED_WORDS:
        found = "more text than any phrase has" if len(phrase) > _MAX_PHRASE_CHARACTERS else f"{len(words)} words"
        raise BadInput(
            f"a seed phrase has {PHRASE_WORDS} words; this is {found}",
            hint="give all words, in order, separated by spaces",
        )
    return words


def _unknown_word(position: int, word: str) -> BadInput:
    shown = word if len(word) <= _SHOWN_LETTERS else word[:_SHOWN_LETTERS] + "…"
    similar = difflib.get_close_matches(word[:_SHOWN_LETTERS], _english().wordlist, n=3)
    guess = f"did you mean {' or '.join(similar)}? " if similar else ""
    return BadInput(
        f"word {position} of the phrase, {shown!r}, is not in the BIP-39 English list",
        hint=f"{guess}check word {position} against what you wrote down",
    )
