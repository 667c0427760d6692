"""What a user types or pastes to mean an object: a reference, a catalogue name, a bare cid, or what it holds.

    inos:<cid>#<key>       Reference   the right to read one object, from any member, without the catalogue
    /photos/a.jpg          ObjectName  a place in the owner's catalogue; also inos:/photos/a.jpg and photos/a.jpg
    bafkr4i…               Cid         names an object without the right to read it; also inos:bafkr4i…
    sha256:<64 hex>        ContentDigest   files of the owner's catalogue whose content has this SHA-256

Each thing has one spelling when printed. `str()` of a Reference gives the key away; its repr does not.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Final, Self

from inos.core.errors import BadInput, BadReference
from inos.core.ids import Cid, ContentDigest
from inos.core.object_names import normal_name

SCHEME_PREFIX: Final = "inos:"
SHA256_PREFIX: Final = "sha256:"
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
KEY_BYTES: Final = 32
_KEY_CHARACTERS: Final = 43  # base64 of 32 bytes without its padding
_CID_CHARACTERS: Final = 59
_CID_START: Final = "bafkr4i"  # of every cid of ours: version, codec and hash never vary
_COPY_HINT: Final = "copy the whole reference from 'inos put' or 'inos ls': inos:<cid>#<key>, 108 characters"


@dataclass(frozen=True, slots=True)
class Reference:
    """The capability to read one object: its cid and the 32-byte key that opens the inner part of its manifest."""

    cid: Cid
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES:
            raise BadReference(f"a reference's key has {KEY_BYTES} bytes, got {len(self.key)}", hint=_COPY_HINT)

    def __str__(self) -> str:
        return f"{SCHEME_PREFIX}{self.cid}#{_encode_key(self.key)}"

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Raises BadReference for anything but exactly what `str()` gives. Never repeats the key in the message."""
        cid_text, mark, key_text = text.removeprefix(SCHEME_PREFIX).partition("#")
        if not text.startswith(SCHEME_PREFIX):
            raise BadReference(f"not a reference, it does not start with 'inos:': {cid_text[:80]!r}", hint=_COPY_HINT)
        cid = Cid.parse(cid_text[: _CID_CHARACTERS + 1])  # errors repeat it: no room for a key glued to it
        if not mark or not key_text:
            raise BadReference(f"the reference of {cid} has no key", hint=_COPY_HINT)
        return cls(cid, _decode_key(key_text))


class ObjectName(str):
    """A catalogue name, normalised: `/photos/a.jpg`, NFC, at most 1024 bytes of UTF-8. Make one with `parse`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """The name meant by `/a/b`, `a/b`, `inos:/a/b` or `a/b/`. Raises BadInput for a name that cannot be one."""
        bare = text.removeprefix(SCHEME_PREFIX) if text.startswith(SCHEME_PREFIX + "/") else text
        return cls(normal_name(bare))

    @property
    def parts(self) -> tuple[str, ...]:
        """Folders from the top, then the last part."""
        return tuple(self[1:].split("/"))

    def child(self, part: str) -> Self:
        """The name of `part` (one or more parts) below this folder."""
        return self.parse(f"{self}/{part}")


def parse_target(text: str) -> Reference | ObjectName | Cid | ContentDigest:
    """What `text` means, by its form alone. Raises BadReference or BadInput."""
    if not text:
        raise BadInput("no object was named", hint="give a reference (inos:…), a name (/photos/a.jpg) or a cid")
    if text.startswith(SHA256_PREFIX):
        return parse_sha256(text)
    rest = text.removeprefix(SCHEME_PREFIX)
    if rest.startswith("/") or (rest == text and not _looks_like_cid(rest)):
        return ObjectName.parse(text)
    if "#" in rest:
        return Reference.parse(text)
    return Cid.parse(rest[: _CID_CHARACTERS + 1])


def parse_sha256(text: str) -> ContentDigest:
    """The digest of 64 hexadecimal digits, with or without `sha256:` in front. Raises BadInput."""
    digits = text.removeprefix(SHA256_PREFIX)
    if _SHA256.fullmatch(digits) is None:
        raise BadInput(
            f"not a SHA-256: {digits[:80]!a}",
            hint=f"it has 64 hexadecimal digits; a name that begins like this is written /{SHA256_PREFIX}…",
        )
    return ContentDigest(bytes.fromhex(digits))


def _looks_like_cid(text: str) -> bool:
    return text.startswith(_CID_START) and len(text.partition("#")[0]) == _CID_CHARACTERS


def _encode_key(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def _decode_key(text: str) -> bytes:
    problem = BadReference(f"the key of the reference is garbled ({len(text)} characters)", hint=_COPY_HINT)
    if len(text) != _KEY_CHARACTERS or not text.isascii():
        raise problem
    try:
        key = base64.b64decode(text + "=", altchars=b"-_", validate=True)
    except binascii.Error:
        raise problem from None
    if len(key) != KEY_BYTES or _encode_key(key) != text:  # stray bits in the last character: one key, one spelling
        raise problem
    return key
