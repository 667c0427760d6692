"""Keys of components: which kinds there are, what names one, and what can be asked of whoever has the secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol, get_args

from inos.core.errors import BadInput

if TYPE_CHECKING:
    from inos.core.rows.keys import KeyInfo

KeyKind = Literal["ed25519", "ml_dsa", "secp256k1"]
KEY_KINDS: Final[tuple[KeyKind, ...]] = get_args(KeyKind)
# Raw Ed25519; ML-DSA-65; a compressed point of secp256k1.
PUBLIC_KEY_BYTES: Final[dict[KeyKind, int]] = {"ed25519": 32, "ml_dsa": 1952, "secp256k1": 33}
# Raw Ed25519; ML-DSA-65; r and s of ECDSA, 32 bytes each.
SIGNATURE_BYTES: Final[dict[KeyKind, int]] = {"ed25519": 64, "ml_dsa": 3309, "secp256k1": 64}
# SHA-512 of a message: what is signed, so that a message may have any size and the node need not see it.
DIGEST_BYTES: Final = 64
MAX_INDEX: Final = (1 << 32) - 1
# A name of a folder and of a log file on every system, and a word in a command line.
COMPONENT_ID: Final = re.compile(r"[a-z0-9]([a-z0-9._-]{0,126}[a-z0-9])?")
COMPONENT_ID_HINT: Final = "lower case letters, digits, '.', '_' and '-', such as 'org.example.player'"


@dataclass(frozen=True, slots=True)
class KeyName:
    """Which key: the `index`-th of a kind of a component. The same phrase gives the same key. Raises BadInput."""

    component: str
    kind: KeyKind = "ed25519"
    index: int = 0

    def __post_init__(self) -> None:
        if not COMPONENT_ID.fullmatch(self.component):
            raise BadInput(f"not the id of a component: {self.component[:80]!r}", hint=COMPONENT_ID_HINT)
        if self.kind not in KEY_KINDS:
            raise BadInput(f"there are no keys of kind {self.kind[:80]!r}", hint=f"one of {', '.join(KEY_KINDS)}")
        if not 0 <= self.index <= MAX_INDEX:
            raise BadInput(f"a derivation index is 0 to {MAX_INDEX}, not {self.index}")


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature and the key that made it, both hexadecimal."""

    kind: str
    public_key: str
    signature: str


class KeyCalls(Protocol):
    """What whoever has the owner's secrets does with keys of components. Private keys never leave it."""

    async def derive(self, name: KeyName, purpose: str) -> KeyInfo:
        """Derive a key and note in the database that it was; `purpose` "" leaves what is noted of it."""

    async def sign(self, name: KeyName, digest: bytes) -> Signed:
        """Sign a message by its SHA-512; notes the key, and that it was used."""
