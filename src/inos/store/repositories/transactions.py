"""Transactions of wallets."""

from __future__ import annotations

import dataclasses

from inos.core.errors import Conflict
from inos.core.rows.wallet import Transaction, TransactionStatus
from inos.store.repositories.repository import Repository


class Transactions(Repository[Transaction]):
    """One row for each transaction. What was settled stays settled."""

    kind = Transaction
    table = "wallet_transactions"

    def settle(self, tx_hash: str, status: TransactionStatus, now_s: float) -> Transaction:
        """A pending one is confirmed or has failed. NotFound; Conflict where it was settled otherwise."""

        def settled(row: Transaction) -> Transaction:
            if row.status not in ("pending", status):
                raise Conflict(f"transaction {tx_hash!r} is {row.status}")
            if row.status == status:
                return row
            return dataclasses.replace(row, status=status, confirmed_at_s=int(now_s) if status == "confirmed" else None)

        return self.update(tx_hash, settled)
