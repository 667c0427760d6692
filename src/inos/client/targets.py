"""Telling a name from a reference by its form, as far as a client must know; the node parses and checks both.

"photos/a.jpg", "/photos/a.jpg", "inos:/photos/a.jpg"   a name
"inos:bafkr4i…#key", "inos:bafkr4i…", "bafkr4i…"         a reference, a cid
"sha256:…"                                              what a file holds
"""

from __future__ import annotations

from typing import Final

SCHEME: Final = "inos:"
_SHA256_PREFIX: Final = "sha256:"
_CID_START: Final = "bafkr4i"
_CID_LENGTH: Final = 59


def is_name(target: str) -> bool:
    """Whether `target` means a name in the catalogue."""
    rest = target.removeprefix(SCHEME)
    if rest.startswith("/"):
        return True
    if target != rest or target.startswith(_SHA256_PREFIX):
        return False
    return not (rest.startswith(_CID_START) and len(rest.partition("#")[0]) == _CID_LENGTH)


def name_of(target: str) -> str:
    """A name as the catalogue writes it: with one leading slash and none at the end."""
    return "/" + target.removeprefix(SCHEME).strip("/")
