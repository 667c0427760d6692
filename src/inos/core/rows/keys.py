"""Rows of derived keys: what is known of each in public. No secret has a field here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal, get_args

from inos.core.errors import BadInput
from inos.core.rows import fields as f
from inos.core.rows.row import Order, Row

KeyKind = Literal["ed25519", "ml_dsa", "secp256k1"]
KEY_KINDS: Final[tuple[KeyKind, ...]] = get_args(KeyKind)
# Bytes of a public key: raw Ed25519, ML-DSA-65, a compressed point of secp256k1.
PUBLIC_KEY_BYTES: Final[dict[KeyKind, int]] = {"ed25519": 32, "ml_dsa": 1952, "secp256k1": 33}
MAX_INDEX: Final = (1 << 32) - 1


@dataclass(frozen=True)
class KeyInfo(Row):
    """One key that was derived. `key_id` is the BLAKE3 of its kind and public key; the component need not be
    installed."""

    KIND: ClassVar[str] = "keys"
    KEY: ClassVar[str] = "key_id"
    ORDERS: ClassVar[tuple[Order, ...]] = (
        Order("id", ("key_id",)),
        Order("component", ("kind", "derivation_index"), equals="component_id"),
        Order("created", ("created_at_s", "key_id")),
    )
    WRITABLE: ClassVar[bool] = False

    key_id: bytes = f.digest()
    component_id: str = f.component_id()
    kind: KeyKind = f.choice(*KEY_KINDS)
    derivation_index: int = f.whole(0, MAX_INDEX)
    public_key: bytes = f.binary(max(PUBLIC_KEY_BYTES.values()))
    created_at_s: int = f.time_s()
    purpose: str = f.text(0, 200, default="")
    last_used_s: int | None = f.time_s(optional=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.public_key) != PUBLIC_KEY_BYTES[self.kind]:
            raise BadInput(f"public_key must be {PUBLIC_KEY_BYTES[self.kind]} bytes for {self.kind}")
