"""The pure parts: index, lists, snapshot, packs; what does not read is refused, not believed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inos.backup.index import MAX_ENTRIES, IndexTable, encode_index
from inos.backup.lists import MAX_IDS, address_lists, full_lists, ids_in
from inos.backup.packs import PackWriter, Spot, open_piece, pack_key
from inos.backup.sealing import HEAD_BYTES, BackupKeys, Kind, file_name
from inos.backup.snapshot import Part, Snapshot
from inos.core.errors import BadInput, Corrupt, NewerFormat
from inos.crypto.hashing import blake3_digest

KEYS = BackupKeys(b"k" * 32)
SALT = bytes(range(32))
ids = st.binary(min_size=32, max_size=32)
spots = st.builds(Spot, ids, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
parts = st.builds(Part, st.integers(0), st.integers(0), st.integers(0), st.lists(ids, max_size=3).map(tuple))


@given(st.dictionaries(ids, spots, min_size=1, max_size=40), ids)
def test_an_index_finds_what_was_put_in_and_nothing_else(wanted: dict[bytes, Spot], other: bytes) -> None:
    table = IndexTable.decode(encode_index(wanted), "index")
    assert {piece: table.find(piece) for piece in wanted} == wanted
    assert dict(table.items()) == wanted and list(dict(table.items())) == sorted(wanted)
    assert table.find(other) == wanted.get(other)


@given(st.binary(max_size=300))
def test_no_bytes_break_the_index(text: bytes) -> None:
    try:
        table = IndexTable.decode(text, "index")
        list(table.items())
    except Corrupt:
        pass


def test_an_index_has_a_limit() -> None:
    with pytest.raises(BadInput):
        encode_index({})
    with pytest.raises(BadInput):
        encode_index({number.to_bytes(32, "big"): Spot(SALT, 0, 1) for number in range(MAX_ENTRIES + 1)})


@given(st.lists(ids, max_size=50, unique=True))
def test_lists_give_back_what_went_in(wanted: list[bytes]) -> None:
    for cut in (full_lists, address_lists):
        assert [piece for text in cut(wanted) for piece in ids_in(text)] == wanted


def test_a_chunk_more_changes_one_list_or_two() -> None:
    addresses = sorted(blake3_digest(number.to_bytes(4, "big")) for number in range(60_000))
    before = set(address_lists(addresses))
    after = set(address_lists(sorted([*addresses, blake3_digest(b"one more")])))
    assert len(before) > 8 and len(after - before) <= 2
    assert all(len(text) <= 32 * MAX_IDS for text in before)


@pytest.mark.parametrize("text", [b"", b"x", b"x" * 33, b"x" * (32 * MAX_IDS + 32)])
def test_what_is_no_list(text: bytes) -> None:
    with pytest.raises(Corrupt):
        ids_in(text)


@given(st.sampled_from(["full", "mesh"]), st.integers(0), st.text(), parts, parts, st.none() | parts)
def test_a_snapshot_comes_back(
    kind: str, created_ms: int, name: str, first: Part, second: Part, third: Part | None
) -> None:
    name = name.encode("utf-8", "replace").decode()
    wanted = Snapshot(kind, created_ms, name, "0.1", "{}", first, second, first, third, second)  # type: ignore[arg-type]
    assert Snapshot.decode(wanted.encode(), "s") == wanted


def test_a_snapshot_of_an_earlier_release_says_nothing_of_messages() -> None:
    part = {"count": 2, "size": 3, "damaged": 1, "lists": ["11" * 32]}
    fields = {"version": 1, "kind": "full", "created_ms": 5, "node_name": "desk", "release": "0.1", "node_file": "{}"}
    text = json.dumps(fields | {"database": part, "chunks": part, "components": part}).encode()
    found = Snapshot.decode(text, "s")
    assert found.messages is None and found.config is None and found.components == Part(2, 3, 1, (b"\x11" * 32,))
    for version in (0, -1, True, "1", None, 2):
        with pytest.raises(Corrupt):
            Snapshot.decode(text.replace(b'"version": 1', b'"version": ' + json.dumps(version).encode()), "s")


@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_what_is_no_snapshot(value: object) -> None:
    with pytest.raises(Corrupt):
        Snapshot.decode(json.dumps(value).encode(), "s")


def test_a_newer_snapshot_is_not_called_damaged() -> None:
    with pytest.raises(NewerFormat):
        Snapshot.decode(b'{"version": 3}', "s")
    newer = bytearray(KEYS.seal_file(Kind.INDEX, SALT, b"text"))
    newer[8] = 2
    with pytest.raises(NewerFormat):
        KEYS.open_file(Kind.INDEX, bytes(newer), "i")


@given(st.dictionaries(ids, st.binary(max_size=200), min_size=1, max_size=8))
def test_pieces_come_out_of_a_pack(pieces: dict[bytes, bytes]) -> None:
    writer = PackWriter(KEYS, SALT)
    for piece, data in pieces.items():
        writer.add(piece, data)
    pack = writer.finish()
    key = pack_key(KEYS, pack.data[:HEAD_BYTES], "pack")
    assert pack.name == file_name(pack.data) and pack.spots.keys() == pieces.keys()
    for piece, spot in pack.spots.items():
        assert open_piece(key, piece, pack.data[spot.offset : spot.offset + spot.size], "pack") == pieces[piece]
        with pytest.raises(Corrupt):
            open_piece(key, bytes(32), pack.data[spot.offset : spot.offset + spot.size - 1], "pack")


def test_the_bytes_stay_what_they_are() -> None:
    """Golden: a backup of today opens in every later release."""
    sealed = KEYS.seal_file(Kind.SNAPSHOT, SALT, b"text")
    assert blake3_digest(sealed).hex() == GOLDEN_FILE
    assert KEYS.piece_id(b"block").hex() == GOLDEN_ID
    assert blake3_digest(encode_index({SALT: Spot(b"p" * 32, 42, 7)})).hex() == GOLDEN_INDEX


GOLDEN_FILE = "1619a07e5f8138fa65d9110353965006c26c60685d4fee7ea0cbf902aa4bd984"
GOLDEN_ID = "74d1917bbd7971d60e8fb66ab2a13a2c1e1a6b4797dd6799241770a505fd14d3"
GOLDEN_INDEX = "eae5b3567ab55f9ce4922c2988c4438264ab3b45c019d7397bfaf91b92d9ce5e"
