"""The cocoon: an owner's master secret at rest, behind a passphrase.

    offset size
         0    8  magic "INOSCOCO"
         8    2  version, 1
        10    1  opener: 1 a passphrase, 2 a keyfile
        11    1  Argon2id lanes
        12    4  Argon2id memory, KiB
        16    4  Argon2id passes
        20   16  salt
        36   60  data key, sealed under Argon2id(passphrase); bytes 0-36 are authenticated with it
        96   60  master secret, sealed under the data key; bytes 0-10 are authenticated with it
       156   32  BLAKE3 of all before

Numbers are little-endian. Because the passphrase only wraps the data key, changing it leaves the sealed secret as it
is. The closing hash tells damage from a wrong passphrase, without which a flipped bit would read as a typing error.
Magic, version and closing hash stay where they are (first and last) in every later version, so that an older release
can tell a newer cocoon from a damaged one.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from inos.core.errors import BadInput, Corrupt, NewerFormat, Unavailable, WrongPassphrase
from inos.crypto.derive import MasterSecret
from inos.crypto.hashing import blake3_digest
from inos.crypto.sealing import KEY_BYTES, NONCE_BYTES, OVERHEAD_BYTES, open_sealed, seal

VERSION: Final = 1
_MAGIC: Final = b"INOSCOCO"
_PREFIX: Final = struct.Struct("<8sH")
_HEADER: Final = struct.Struct("<8sHBBII16s")
_SALT_BYTES: Final = 16
_SEALED_KEY_BYTES: Final = KEY_BYTES + OVERHEAD_BYTES
_HASH_BYTES: Final = 32
_BODY_AT: Final = _HEADER.size + _SEALED_KEY_BYTES
_HASH_AT: Final = _BODY_AT + _SEALED_KEY_BYTES
COCOON_BYTES: Final = _HASH_AT + _HASH_BYTES
MAX_PASSPHRASE_CHARACTERS: Final = 1024
_RESTORE: Final = "restore it from a copy, or move it away and run 'inos init --phrase -' with your seed phrase"

# What a cocoon may ask of whoever opens it: beyond these a file from a stranger would be a way to exhaust a machine.
# RFC 9106 recommends at most 2 GiB and 3 passes; half that memory still fits the smallest node.
MAX_MEMORY_KIB: Final = 1 << 20
MAX_PASSES: Final = 16
MAX_LANES: Final = 16

TokenBytes = Callable[[int], bytes]
"""`Env.token_bytes`: that many unpredictable bytes."""


class Opener(IntEnum):
    """What kind of secret opens a cocoon."""

    PASSPHRASE = 1
    KEYFILE = 2


@dataclass(frozen=True, slots=True)
class Argon2Cost:
    """How dear one guess is. Raises BadInput outside of what a cocoon may ask."""

    memory_kib: int
    passes: int
    lanes: int

    def __post_init__(self) -> None:
        fits = 1 <= self.passes <= MAX_PASSES and 1 <= self.lanes <= MAX_LANES
        if not fits or not 8 * self.lanes <= self.memory_kib <= MAX_MEMORY_KIB:
            raise BadInput(
                f"Argon2id cost out of bounds: {self.memory_kib} KiB, {self.passes} passes, {self.lanes} lanes"
            )


# RFC 9106, the recommendation for machines short of memory. 0.1 to 0.3 s a guess.
DEFAULT_COST: Final = Argon2Cost(memory_kib=64 << 10, passes=3, lanes=4)
# For keyfiles: 256 random bits cannot be guessed, so there is nothing to slow down.
KEYFILE_COST: Final = Argon2Cost(memory_kib=8, passes=1, lanes=1)


def seal_cocoon(
    master: MasterSecret,
    passphrase: str,
    token_bytes: TokenBytes,
    cost: Argon2Cost = DEFAULT_COST,
    *,
    opener: Opener = Opener.PASSPHRASE,
) -> bytes:
    """A cocoon around `master` (COCOON_BYTES long). `passphrase` is the keyfile's content when that is the opener."""
    data_key = token_bytes(KEY_BYTES)
    prefix = _PREFIX.pack(_MAGIC, VERSION)
    body = seal(data_key, master.reveal(), prefix, nonce=token_bytes(NONCE_BYTES))
    return _assemble(data_key, body, passphrase, token_bytes, cost, opener)


def open_cocoon(data: bytes, passphrase: str) -> MasterSecret:
    """The master secret inside. Raises WrongPassphrase, Corrupt (damage), NewerFormat, Unavailable (not enough memory
    for the Argon2id cost the cocoon was sealed with)."""
    _, master = _unwrap(data, passphrase)
    return master


def rewrap_cocoon(
    data: bytes,
    old: str,
    new: str,
    token_bytes: TokenBytes,
    cost: Argon2Cost = DEFAULT_COST,
    *,
    opener: Opener = Opener.PASSPHRASE,
) -> bytes:
    """The same cocoon, opened by `new` instead of `old`; its sealed secret is carried over byte for byte. Raises what
    `open_cocoon` raises."""
    data_key, _ = _unwrap(data, old)
    return _assemble(data_key, data[_BODY_AT:_HASH_AT], new, token_bytes, cost, opener)


def cocoon_opener(data: bytes) -> Opener:
    """What kind of secret opens this cocoon. Raises Corrupt or NewerFormat."""
    return _parse(data)[0]


def _assemble(
    data_key: bytes, body: bytes, passphrase: str, token_bytes: TokenBytes, cost: Argon2Cost, opener: Opener
) -> bytes:
    salt = token_bytes(_SALT_BYTES)
    header = _HEADER.pack(_MAGIC, VERSION, opener, cost.lanes, cost.memory_kib, cost.passes, salt)
    wrapped = seal(_stretch(passphrase, salt, cost), data_key, header, nonce=token_bytes(NONCE_BYTES))
    whole = header + wrapped + body
    return whole + blake3_digest(whole)


def _parse(data: bytes) -> tuple[Opener, Argon2Cost, bytes]:
    """Opener, cost and salt of an undamaged cocoon of this version."""
    if len(data) < _PREFIX.size + _HASH_BYTES or not data.startswith(_MAGIC):
        raise Corrupt("this is not a cocoon", hint=_RESTORE)
    if blake3_digest(memoryview(data)[:-_HASH_BYTES]) != data[-_HASH_BYTES:]:
        raise Corrupt("the cocoon is damaged: its closing hash does not fit", hint=_RESTORE)
    version = _PREFIX.unpack_from(data)[1]
    if version > VERSION:
        raise NewerFormat(
            f"the cocoon has format {version}; this release knows {VERSION}", hint="use the release that wrote it"
        )
    if version < 1 or len(data) != COCOON_BYTES:
        raise Corrupt(f"a cocoon of format {version} and {len(data)} bytes does not exist", hint=_RESTORE)
    _, _, opener, lanes, memory_kib, passes, salt = _HEADER.unpack_from(data)
    try:
        return Opener(opener), Argon2Cost(memory_kib, passes, lanes), salt
    except (ValueError, BadInput) as error:
        raise Corrupt(f"the cocoon was not made by INOS: {error}", hint=_RESTORE) from None


def _unwrap(data: bytes, passphrase: str) -> tuple[bytes, MasterSecret]:
    opener, cost, salt = _parse(data)
    header, wrapped, body = data[: _HEADER.size], data[_HEADER.size : _BODY_AT], data[_BODY_AT:_HASH_AT]
    key = _stretch(passphrase, salt, cost)
    try:
        data_key = open_sealed(key, wrapped, header)
    except Corrupt:
        raise _wrong(opener) from None
    return data_key, MasterSecret(open_sealed(data_key, body, data[: _PREFIX.size]))


def _wrong(opener: Opener) -> WrongPassphrase:
    if opener is Opener.KEYFILE:
        return WrongPassphrase("the keyfile does not open the cocoon", hint="put back the keyfile made with it")
    return WrongPassphrase("the passphrase does not open the cocoon", hint="nothing was changed; try again")


def _stretch(passphrase: str, salt: bytes, cost: Argon2Cost) -> bytes:
    if not passphrase or len(passphrase) > MAX_PASSPHRASE_CHARACTERS:
        raise BadInput(
            f"a passphrase has 1 to {MAX_PASSPHRASE_CHARACTERS} characters, this has {len(passphrase)}",
            hint="choose another, or use --no-passphrase to rely on file permissions alone",
        )
    try:
        # NFKD as in BIP-39: an "é" typed on one system and the one typed on another are the same passphrase.
        secret = unicodedata.normalize("NFKD", passphrase).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise BadInput("the passphrase is not text", hint="give it as UTF-8") from None
    kdf = Argon2id(salt=salt, length=KEY_BYTES, iterations=cost.passes, lanes=cost.lanes, memory_cost=cost.memory_kib)
    try:
        return kdf.derive(secret)
    except MemoryError:
        raise Unavailable(
            f"not enough memory: this cocoon takes {cost.memory_kib >> 10} MiB to open", hint="free some and try again"
        ) from None
