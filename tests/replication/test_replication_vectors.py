"""Golden vectors: bytes of placements, catalogue entries and calls that older and newer nodes must agree on. They never
change; a new version of a struct gets a vector of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from inos.core.ids import Address, Cid, OwnerId
from inos.crypto.signing import SigningKey
from inos.objects.layout import COPIES, Scheme
from inos.replication import bulk
from inos.replication.hold_calls import decode_states, encode_states
from inos.replication.holder import HoldState
from inos.replication.placement import Placement, decode_placement, encode_placement
from inos.state.records import sign_record
from inos.vault.catalogue import CatalogueCipher, Entry, Kind

VECTORS: dict[str, str] = json.loads((Path(__file__).parent / "vectors" / "replication.json").read_text())
KEY, NODE = SigningKey(b"\1" * 32), SigningKey(b"\2" * 32)
CID, OWNER = Cid(b"\5" * 32), OwnerId(SigningKey(b"\1" * 32).public_key)
MEMBERS = (NODE.public_key, KEY.public_key)
COPIED = Placement(CID, OWNER, COPIES, 5, MEMBERS, 0, grant=b"\7" * 64)
STRIPED = Placement(CID, OWNER, Scheme(3, 2), 5, MEMBERS, 1 << 40, grant=b"\7" * 64)
CIPHER = CatalogueCipher(OWNER, b"\3" * 32)
FILE = Entry("/photos/a.jpg", Kind.FILE, f"inos:{CID}#{'A' * 43}", 1234, 0o644, 1_800_000_000_000)
LINK = Entry("/photos/ä", Kind.LINK, target="../b")
HASHED = replace(FILE, sha256=b"\x09" * 32)
STATES = [HoldState(CID, 3, 5, epoch=65_537), HoldState(CID, 0, 0, "not_found")]
CHUNKS = [(Address(b"\6" * 32), b"abc"), (Address(b"\x08" * 32), b"")]

MADE: dict[str, Callable[[], bytes]] = {
    "placement of copies": lambda: encode_placement(COPIED),
    "placement of stripes": lambda: encode_placement(STRIPED),
    "what an owner grants": lambda: STRIPED.granted_text(7),
    "placement record": lambda: sign_record(KEY, "placement", bytes(CID), encode_placement(COPIED), 65_536).encoded,
    "key of a name": lambda: CIPHER.key_of(FILE.name),
    "key of a content": lambda: CIPHER.content_key(HASHED.sha256),
    "sealed file 2": lambda: CIPHER.seal(HASHED, b"\4" * 12),
    "sealed link 2": lambda: CIPHER.seal(LINK, b"\4" * 12),
    "chunk batch": lambda: bulk.encode_batch(CHUNKS),
    "addresses": lambda: bulk.encode_addresses([address for address, _ in CHUNKS]),
    "hold states": lambda: encode_states(STATES),
}
# Of versions that are read and not written any more.
READ = {"sealed file", "sealed link"}


@pytest.mark.parametrize("name", MADE)
def test_bytes_are_as_they_always_were(name: str) -> None:
    assert MADE[name]().hex() == VECTORS[name]


def test_no_vector_is_forgotten() -> None:
    assert set(VECTORS) == set(MADE) | READ


def test_what_was_written_long_ago_is_read() -> None:
    assert decode_placement(CID, bytes.fromhex(VECTORS["placement of copies"])) == COPIED
    assert decode_placement(CID, bytes.fromhex(VECTORS["placement of stripes"])) == STRIPED
    assert CIPHER.open(CIPHER.key_of(FILE.name), bytes.fromhex(VECTORS["sealed file"])) == FILE
    assert CIPHER.open(CIPHER.key_of(LINK.name), bytes.fromhex(VECTORS["sealed link"])) == LINK
    assert CIPHER.open(CIPHER.key_of(FILE.name), bytes.fromhex(VECTORS["sealed file 2"])) == HASHED
    assert decode_states(bytes.fromhex(VECTORS["hold states"])) == STATES
    assert bulk.decode_batch(bytes.fromhex(VECTORS["chunk batch"]), b"abc") == CHUNKS
