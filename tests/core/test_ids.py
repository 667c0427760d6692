"""Identity types: their text forms, held against independent implementations."""

from __future__ import annotations

import subprocess
import sys

import base58
import cid as py_cid
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inos.core.errors import BadInput, BadReference
from inos.core.ids import Address, Cid, MeshId, OwnerId, PeerId

digests = st.binary(min_size=32, max_size=32)
# The public key of the libp2p peer-id specification's Ed25519 vector, and the id libp2p gives it.
SPEC_KEY = bytes.fromhex("1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e")
SPEC_PEER = "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"


@pytest.mark.parametrize("kind", [Address, OwnerId, MeshId, Cid])
@pytest.mark.parametrize("size", [0, 31, 33])
def test_digest_has_32_bytes(kind: type[Address], size: int) -> None:
    with pytest.raises(BadInput, match="32 bytes"):
        kind(bytes(size))


@given(digests)
def test_digest_prints_as_hex_and_repr_is_short(digest: bytes) -> None:
    assert str(Address(digest)) == digest.hex()
    assert len(repr(Address(digest))) < 40
    assert {Address(digest): 1}[Address(digest)] == 1


@given(digests)
def test_cid_text_is_what_py_cid_writes(digest: bytes) -> None:
    theirs = py_cid.make_cid(1, "raw", bytes((0x1E, 0x20)) + digest).encode("base32").decode()
    assert str(Cid(digest)) == theirs
    assert Cid.parse(theirs) == digest
    assert Cid.parse(theirs).address == Address(digest)


def test_cid_golden() -> None:
    assert str(Cid(bytes(range(32)))) == "bafkr4iaaaebagbafaydqqcikbmga2dqpcaireeyuculbogazdinryhi6d4"


@given(st.text(max_size=70))
def test_cid_parse_takes_nothing_else(text: str) -> None:
    with pytest.raises(BadReference):
        Cid.parse(text)


@given(digests, st.integers(0, 58), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567ABZ189=é \n"))
def test_cid_has_one_spelling(digest: bytes, at: int, letter: str) -> None:
    text = str(Cid(digest))
    changed = text[:at] + letter + text[at + 1 :]
    try:
        found = Cid.parse(changed)
    except BadReference as error:
        assert "bafkr4i" in error.hint or "BLAKE3" in error.message
    else:
        assert (found == digest) == (changed == text)


@given(digests)
def test_peer_id_is_base58_of_the_identity_multihash(key: bytes) -> None:
    peer = PeerId.from_public_key(key)
    assert peer == base58.b58encode(bytes.fromhex("002408011220") + key).decode()
    assert PeerId.parse(str(peer)).public_key() == key
    assert peer.endswith(peer.short())


def test_peer_id_golden() -> None:
    assert PeerId.from_public_key(SPEC_KEY) == SPEC_PEER


def test_peer_id_is_what_libp2p_says() -> None:
    # In a process of its own: loading libp2p changes the import system of the whole process.
    program = (
        "from inos.mesh.lean_imports import prepare; prepare();"
        "from libp2p.peer.id import ID; from libp2p.crypto.ed25519 import Ed25519PublicKey;"
        f"print(ID.from_pubkey(Ed25519PublicKey.from_bytes(bytes.fromhex('{SPEC_KEY.hex()}'))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == SPEC_PEER


@given(st.text(max_size=200))
def test_peer_id_parse_takes_nothing_else(text: str) -> None:
    with pytest.raises(BadInput, match="peer id"):
        PeerId.parse(text)


@pytest.mark.parametrize("text", ["1" * 129, SPEC_PEER[:-1], SPEC_PEER + "1", "1" + SPEC_PEER, "Q" + SPEC_PEER[1:]])
def test_peer_id_parse_refuses_near_misses(text: str) -> None:
    with pytest.raises(BadInput):
        PeerId.parse(text)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_peer_id_needs_a_whole_key(size: int) -> None:
    with pytest.raises(BadInput, match="32 bytes"):
        PeerId.from_public_key(bytes(size))
