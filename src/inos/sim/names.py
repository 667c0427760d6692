"""What machines are called in scenarios: a, b, ... z, aa, ab, ..."""

from __future__ import annotations

from typing import Final

from inos.core.errors import BadInput

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"


def letters_of(number: int) -> str:
    """The name of machine `number`, counted from 0."""
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, len(_LETTERS))
        text = _LETTERS[rest] + text
    return text


def number_of(name: str) -> int:
    """The machine called `name`. Raises BadInput for what is not a name."""
    if not name or any(letter not in _LETTERS for letter in name):
        raise BadInput(f"{name!r} is not a machine", hint="machines are called a, b, ... z, aa, ab, ...")
    number = 0
    for letter in name:
        number = number * len(_LETTERS) + _LETTERS.index(letter) + 1
    return number - 1
