"""Rows of derived keys: what is known of each in public. No secret has a field here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from inos.core.component_keys import KEY_KINDS, MAX_INDEX, PUBLIC_KEY_BYTES, KeyKind
from inos.core.errors import BadInput
from inos.core.rows import fields as f
from inos.core.rows.row import Order, Row


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
