"""The cocoon: opening, changing the passphrase, every kind of damage, hostile parameters, and silence about secrets."""

import random
import struct
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.errors import BadInput, Corrupt, InosError, NewerFormat, WrongPassphrase
from inos.crypto.cocoon import (
    COCOON_BYTES,
    DEFAULT_COST,
    KEYFILE_COST,
    MAX_PASSPHRASE_CHARACTERS,
    Argon2Cost,
    Opener,
    cocoon_opener,
    open_cocoon,
    rewrap_cocoon,
    seal_cocoon,
)
from inos.crypto.derive import MasterSecret
from inos.crypto.hashing import blake3_digest

CHEAP = Argon2Cost(memory_kib=8, passes=1, lanes=1)
MASTER = MasterSecret(b"M" * 32)
PASSPHRASE = "correct horse"
BODY = slice(96, 156)
GOLDEN = bytes.fromhex(
    "494e4f53434f434f01000102400000000200000003030303030303030303030303030303040404040404040404040404e4fb"
    "d350df032d82762c39dd9d6245088fffb045b3274c8e62465c448e698fc5480496daec2d49a43667d61c855388c502020202"
    "0202020202020202ab51bf63c0eea5973c60a4b49ec6a964c1fe2140cee7309e59c956f0b8db09912d76c9c3d08d092d6a7e"
    "f26de14029ded47063d380465f82b9581675519f269929a6aff55e57934e5d889f966ef7ff6d"
)


def chance(seed: int = 1) -> random.Random:
    return random.Random(seed)


COCOON = seal_cocoon(MASTER, PASSPHRASE, chance().randbytes, CHEAP)


def rehashed(data: bytes) -> bytes:
    """`data` with a closing hash that fits again: what somebody who forges a cocoon would do."""
    return data[:-32] + blake3_digest(data[:-32])


def with_header(*, version: int = 1, opener: int = 1, lanes: int = 1, memory_kib: int = 8, passes: int = 1) -> bytes:
    header = struct.pack("<8sHBBII", b"INOSCOCO", version, opener, lanes, memory_kib, passes)
    return rehashed(header + COCOON[len(header) :])


def test_golden_cocoon_opens_for_ever() -> None:
    assert open_cocoon(GOLDEN, "golden passphrase") == MASTER
    counter = iter(range(1, 9))
    again = seal_cocoon(MASTER, "golden passphrase", lambda n: bytes([next(counter)]) * n, Argon2Cost(64, 2, 2))
    assert again == GOLDEN


def test_what_was_sealed_opens() -> None:
    assert open_cocoon(COCOON, PASSPHRASE) == MASTER
    assert len(COCOON) == COCOON_BYTES
    assert cocoon_opener(COCOON) is Opener.PASSPHRASE


def test_the_default_cost_works_and_is_memory_hard() -> None:
    assert DEFAULT_COST.memory_kib >= 64 << 10
    assert DEFAULT_COST.passes >= 3
    assert open_cocoon(seal_cocoon(MASTER, PASSPHRASE, chance().randbytes), PASSPHRASE) == MASTER


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_any_passphrase_any_change(secret: bytes, old: str, new: str) -> None:
    master = MasterSecret(secret)
    try:
        first = seal_cocoon(master, old, chance().randbytes, CHEAP)
        second = rewrap_cocoon(first, old, new, chance(2).randbytes, CHEAP)
    except BadInput:
        return  # lone surrogates
    assert open_cocoon(first, old) == open_cocoon(second, new) == master
    assert first[BODY] == second[BODY]


def test_a_wrong_passphrase_says_so() -> None:
    with pytest.raises(WrongPassphrase, match="passphrase does not open") as caught:
        open_cocoon(COCOON, "wrong")
    assert "try again" in caught.value.hint
    with pytest.raises(WrongPassphrase):
        rewrap_cocoon(COCOON, "wrong", "new", chance().randbytes, CHEAP)


def test_a_change_of_passphrase_shuts_the_old_one_out_and_leaves_the_secret_sealed() -> None:
    changed = rewrap_cocoon(COCOON, PASSPHRASE, "new", chance(2).randbytes, CHEAP)
    assert open_cocoon(changed, "new") == MASTER
    assert changed[BODY] == COCOON[BODY]
    assert changed[20:96] != COCOON[20:96]
    with pytest.raises(WrongPassphrase):
        open_cocoon(changed, PASSPHRASE)


def test_a_change_can_make_guessing_dearer_and_switch_to_a_keyfile() -> None:
    changed = rewrap_cocoon(COCOON, PASSPHRASE, "f" * 64, chance().randbytes, KEYFILE_COST, opener=Opener.KEYFILE)
    assert cocoon_opener(changed) is Opener.KEYFILE
    assert open_cocoon(changed, "f" * 64) == MASTER
    with pytest.raises(WrongPassphrase, match="keyfile"):
        open_cocoon(changed, "g" * 64)


def test_two_cocoons_of_one_secret_and_passphrase_differ() -> None:
    other = seal_cocoon(MASTER, PASSPHRASE, chance(2).randbytes, CHEAP)
    assert not any(other[i : i + 16] in COCOON for i in range(20, COCOON_BYTES - 16))


def test_one_spelling_of_letters_whatever_the_keyboard() -> None:
    assert open_cocoon(seal_cocoon(MASTER, "caf\u00e9", chance().randbytes, CHEAP), "cafe\u0301") == MASTER


def test_a_passphrase_from_an_environment_that_is_not_utf8_works() -> None:
    undecodable = b"pass\xff".decode("utf-8", "surrogateescape")
    assert open_cocoon(seal_cocoon(MASTER, undecodable, chance().randbytes, CHEAP), undecodable) == MASTER


@pytest.mark.parametrize("passphrase", ["", "x" * (MAX_PASSPHRASE_CHARACTERS + 1), "\ud800SECRET"])
def test_a_passphrase_that_is_none_is_refused(passphrase: str) -> None:
    with pytest.raises(BadInput) as caught:
        seal_cocoon(MASTER, passphrase, chance().randbytes, CHEAP)
    assert "SECRET" not in f"{caught.value!r}{caught.value.hint}"
    with pytest.raises(BadInput):
        open_cocoon(COCOON, passphrase)


def test_every_byte_flipped_every_way_is_damage() -> None:
    for place in range(COCOON_BYTES):
        for flip in (0x01, 0x80, 0xFF):
            changed = bytearray(COCOON)
            changed[place] ^= flip
            with pytest.raises(Corrupt) as caught:
                open_cocoon(bytes(changed), PASSPHRASE)
            assert "seed phrase" in caught.value.hint


def test_every_byte_forged_with_a_fitting_hash_is_still_refused() -> None:
    for place in range(COCOON_BYTES - 32):
        changed = bytearray(COCOON)
        changed[place] ^= 0x01
        with pytest.raises((Corrupt, WrongPassphrase, NewerFormat)):
            open_cocoon(rehashed(bytes(changed)), PASSPHRASE)


def test_every_truncation_and_any_addition_is_damage() -> None:
    for size in range(COCOON_BYTES):
        with pytest.raises(Corrupt):
            open_cocoon(COCOON[:size], PASSPHRASE)
    for changed in (COCOON + b"\0", COCOON * 2, rehashed(COCOON + bytes(32)), b"\0" * COCOON_BYTES):
        with pytest.raises(Corrupt):
            open_cocoon(changed, PASSPHRASE)


@settings(max_examples=100)
@given(st.binary(max_size=300))
def test_garbage_is_damage_even_behind_our_magic(data: bytes) -> None:
    for garbage in (data, b"INOSCOCO" + data, rehashed(b"INOSCOCO\1\0" + data + bytes(32))):
        with pytest.raises((Corrupt, NewerFormat)):
            open_cocoon(garbage, PASSPHRASE)


@pytest.mark.parametrize("version", [2, 3, 0xFFFF])
def test_a_newer_cocoon_is_told_from_a_damaged_one(version: int) -> None:
    newer = rehashed(with_header(version=version)[:-32] + b"more fields" + bytes(32))
    with pytest.raises(NewerFormat, match=f"format {version}"):
        open_cocoon(newer, PASSPHRASE)


def test_version_nought_never_was() -> None:
    with pytest.raises(Corrupt):
        open_cocoon(with_header(version=0), PASSPHRASE)


@pytest.mark.parametrize(
    ("memory_kib", "passes", "lanes", "opener"),
    [
        (100 << 20, 1, 1, 1),  # 100 GiB
        (0xFFFFFFFF, 1, 1, 1),
        (8, 0xFFFFFFFF, 1, 1),
        (1 << 20, 1, 255, 1),
        (0, 1, 1, 1),
        (8, 0, 1, 1),
        (8, 1, 0, 1),
        (15, 1, 2, 1),
        (8, 1, 1, 0),
        (8, 1, 1, 3),
    ],
)
def test_a_hostile_cocoon_is_refused_before_it_costs_anything(
    memory_kib: int, passes: int, lanes: int, opener: int
) -> None:
    hostile = with_header(memory_kib=memory_kib, passes=passes, lanes=lanes, opener=opener)
    with pytest.raises(Corrupt, match="not made by INOS"):
        open_cocoon(hostile, PASSPHRASE)


@pytest.mark.parametrize("cost", [(1 << 21, 1, 1), (8, 17, 1), (1 << 10, 1, 17), (7, 1, 1), (8, 0, 1), (8, 1, 0)])
def test_a_cost_out_of_bounds_is_refused(cost: tuple[int, int, int]) -> None:
    with pytest.raises(BadInput, match="out of bounds"):
        Argon2Cost(*cost)


def test_secrets_are_nowhere_in_the_cocoon_nor_in_what_errors_say() -> None:
    assert b"MMMM" not in COCOON
    assert PASSPHRASE.encode() not in COCOON
    changed = bytearray(COCOON)
    changed[50] ^= 1
    for data, passphrase in ((COCOON, "WRONG-ONE"), (bytes(changed), "WRONG-ONE")):
        with pytest.raises(InosError) as caught:
            open_cocoon(data, passphrase)
        assert "WRONG-ONE" not in f"{caught.value!r}{caught.value.hint}{caught.value.__cause__!r}"


IN_LITTLE_MEMORY = """
import random, resource
from pathlib import Path
from inos.core.errors import Unavailable
from inos.crypto.cocoon import Argon2Cost, open_cocoon, seal_cocoon
from inos.crypto.derive import MasterSecret

dear = seal_cocoon(MasterSecret(b"M" * 32), "p", random.Random(1).randbytes, Argon2Cost(256 << 10, 1, 1))
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), -1))
try:
    open_cocoon(dear, "p")
except Unavailable as error:
    print(error)
"""


def test_too_little_memory_to_open_is_said() -> None:
    answer = subprocess.run([sys.executable, "-c", IN_LITTLE_MEMORY], capture_output=True, text=True, timeout=60)
    assert (answer.stdout, answer.stderr) == ("not enough memory: this cocoon takes 256 MiB to open\n", "")
