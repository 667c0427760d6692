"""Rows of wallet transactions. Amounts are exact: decimal text of the smallest unit, never a float."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from inos.core.errors import BadInput
from inos.core.rows import fields as f
from inos.core.rows.row import Order, Row

TransactionStatus = Literal["pending", "confirmed", "failed"]


@dataclass(frozen=True)
class Transaction(Row):
    """One transaction on some network. `token` None is the network's own unit; `component_id` asked for it and need
    not be installed any more."""

    KIND: ClassVar[str] = "transactions"
    KEY: ClassVar[str] = "tx_hash"
    ORDERS: ClassVar[tuple[Order, ...]] = (
        Order("time", ("created_at_s", "tx_hash")),
        Order("from", ("created_at_s", "tx_hash"), equals="from_address"),
        Order("to", ("created_at_s", "tx_hash"), equals="to_address"),
        Order("status", ("created_at_s", "tx_hash"), equals="status"),
    )

    tx_hash: str = f.text(1, 128)
    from_address: str = f.text(1, 128)
    to_address: str = f.text(1, 128)
    amount: str = f.amount()
    network: str = f.text(1, 64)
    created_at_s: int = f.time_s()
    status: TransactionStatus = f.choice("pending", "confirmed", "failed", default="pending")
    token: str | None = f.text(1, 128, optional=True)
    gas_used: str | None = f.amount(optional=True)
    gas_price: str | None = f.amount(optional=True)
    purpose: str = f.text(default="")
    component_id: str | None = f.text(1, 128, optional=True)
    confirmed_at_s: int | None = f.time_s(optional=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.confirmed_at_s is not None) != (self.status == "confirmed"):
            raise BadInput("confirmed_at_s must be given for a transaction that is confirmed, and for no other")
