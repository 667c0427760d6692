"""What can be the name of an object in a catalogue. Where it is typed and where it is stored, the same rule."""

from __future__ import annotations

import unicodedata
from typing import Final

from inos.core.errors import BadInput

# Names are keys of records that travel in batches; 1024 bytes is also what S3 allows, 4 times a file name on Linux.
MAX_NAME_BYTES: Final = 1024
# What a path may have on Linux, without its closing zero.
MAX_TARGET_BYTES: Final = 4095
# Control characters, halves of surrogate pairs (file names that are not text), and line and paragraph separators.
_REFUSED_CATEGORIES: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})


def normal_name(text: str) -> str:
    """The name meant by `/a/b`, `a/b` or `a/b/`: `/a/b`, NFC. Raises BadInput for one that cannot be."""
    if len(text) > MAX_NAME_BYTES:
        raise BadInput(f"the name has {len(text)} characters; at most {MAX_NAME_BYTES} bytes are possible")
    for character in text if not (text.isascii() and text.isprintable()) else "":
        if unicodedata.category(character) in _REFUSED_CATEGORIES:
            raise BadInput(
                f"a name cannot hold the character U+{ord(character):04X}: {text[:80]!a}", hint="rename the file"
            )
    path = unicodedata.normalize("NFC", text).removeprefix("/").removesuffix("/")
    _check_parts(path.split("/"), text)
    size = len(path.encode()) + 1
    if size > MAX_NAME_BYTES:
        raise BadInput(f"the name has {size} bytes in UTF-8; at most {MAX_NAME_BYTES} are possible")
    return f"/{path}"


def check_link_target(target: str) -> str:
    """`target`, if a symbolic link can have it. Raises BadInput."""
    size = len(target.encode(errors="replace"))
    if not 0 < size <= MAX_TARGET_BYTES or "\0" in target or target != target.encode(errors="replace").decode():
        raise BadInput(
            f"no link can point to {target[:80]!a}",
            hint=f"a target has 1 to {MAX_TARGET_BYTES} bytes, none of them zero, and is UTF-8",
        )
    return target


def _check_parts(parts: list[str], shown: str) -> None:
    for part in parts:
        if part in ("", ".", ".."):
            raise BadInput(
                f"a name cannot have {part!r} as a part: {shown[:80]!r}", hint="names look like /photos/a.jpg"
            )
