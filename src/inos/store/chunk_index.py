"""The rows of chunks: which are held, where, how large, since when. SQL only; each function runs in a transaction.

A row is what makes a chunk present. It is written after the file is synced and deleted before the file is unlinked,
so a row never promises a file that was not there. Times are whole wall-clock seconds, rounded down.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from inos.core.ids import Address
from inos.store.chunks import StoreUsage
from inos.store.cursor import Cursor, first, one

# A small node reads all that it has every few seconds: it need not sync its disk for each time.
VERIFIED_S: Final = 600


class Location(IntEnum):
    FILE = 0
    INLINE = 1


@dataclass(frozen=True, slots=True)
class Row:
    """What the index says of one chunk. `data` is given for inline chunks where it was asked for."""

    address: Address
    size: int
    location: Location
    data: bytes | None = None


def find(cursor: Cursor, address: Address) -> Row | None:
    """The chunk's row with inline data, None when it is not held."""
    row = first(
        cursor.execute(
            "SELECT size, location, data FROM chunks LEFT JOIN inline_chunks USING (address) WHERE address = ?",
            (address,),
        )
    )
    return None if row is None else Row(address, row[0], Location(row[1]), row[2])


def held(cursor: Cursor, addresses: Iterable[Address]) -> dict[Address, Row]:
    """The rows there are for `addresses`, without data."""
    sql = "SELECT address, size, location FROM chunks WHERE address = ?"
    return {row.address: row for row in map(_row, cursor.executemany(sql, ((address,) for address in addresses)))}


def page(cursor: Cursor, after: Address | None, limit: int, *, data: bool = False) -> list[Row]:
    """The next rows in address order, without data or with that of inline chunks."""
    if not data:
        return _page(cursor, "address > ?", (after or b"",), limit)
    sql = (
        "SELECT address, size, location, data FROM chunks LEFT JOIN inline_chunks USING (address)"
        " WHERE address > ? ORDER BY address LIMIT ?"
    )
    rows = cursor.execute(sql, (after or b"", limit))
    return [Row(Address(row[0]), row[1], Location(row[2]), row[3]) for row in rows]


def in_folder(cursor: Cursor, prefix: int) -> dict[Address, Row]:
    """The rows of chunks kept as files whose address begins with the byte `prefix`."""
    low, high = bytes([prefix]), bytes([prefix]) + b"\xff" * 32
    rows = _page(cursor, "address >= ? AND address <= ? AND location = 0", (low, high), -1)
    return {row.address: row for row in rows}


def _page(cursor: Cursor, where: str, bindings: tuple[bytes, ...], limit: int) -> list[Row]:
    sql = f"SELECT address, size, location FROM chunks WHERE {where} ORDER BY address LIMIT ?"  # noqa: S608 - constants
    return [_row(row) for row in cursor.execute(sql, (*bindings, limit))]


def _row(row: tuple[bytes, int, int]) -> Row:
    return Row(Address(row[0]), row[1], Location(row[2]))


def add(cursor: Cursor, rows: Sequence[Row], now_s: float) -> None:
    """Insert or renew `rows`, as just written and verified; inline ones carry their data."""
    now = int(now_s)
    list(
        cursor.executemany(
            "INSERT INTO chunks VALUES (?1, ?2, ?3, ?4, ?4, ?4) ON CONFLICT DO UPDATE SET size = excluded.size,"
            " location = excluded.location, touched_at = ?4, verified_at = ?4",
            ((row.address, row.size, int(row.location), now) for row in rows),
        )
    )
    inline = [row for row in rows if row.location is Location.INLINE]
    list(
        cursor.executemany(
            "INSERT INTO inline_chunks VALUES (?, ?) ON CONFLICT DO UPDATE SET data = excluded.data",
            ((row.address, row.data) for row in inline),
        )
    )


def touch(cursor: Cursor, addresses: Iterable[Address], now_s: float) -> frozenset[Address]:
    """Note as used now; the ones held."""
    sql = "UPDATE chunks SET touched_at = max(touched_at, ?) WHERE address = ? RETURNING address"
    rows = cursor.executemany(sql, ((int(now_s), address) for address in addresses))
    return frozenset(Address(row[0]) for row in rows)


def touched_by(cursor: Cursor, now_s: float) -> None:
    """Nothing was touched later than now, whatever the clock said then."""
    list(cursor.execute("UPDATE chunks SET touched_at = ?1 WHERE touched_at > ?1", (int(now_s),)))


def verified(cursor: Cursor, addresses: Iterable[Address], now_s: float) -> None:
    """Note as read back and right; of those of which that was noted within VERIFIED_S, nothing is written."""
    sql = "UPDATE chunks SET verified_at = ?1 WHERE address = ?2 AND abs(?1 - verified_at) >= ?3"
    list(cursor.executemany(sql, ((int(now_s), address, VERIFIED_S) for address in addresses)))


def remove(cursor: Cursor, addresses: Iterable[Address]) -> list[Row]:
    """Delete the rows of `addresses`; the ones there were."""
    sql = "DELETE FROM chunks WHERE address = ? RETURNING address, size, location"
    return [_row(row) for row in cursor.executemany(sql, ((address,) for address in addresses))]


def oldest_inline(cursor: Cursor, limit: int) -> list[Row]:
    """The chunks that have been in the database for longest, with their data."""
    sql = "SELECT address, data FROM inline_chunks ORDER BY rowid LIMIT ?"
    return [Row(Address(row[0]), len(row[1]), Location.INLINE, row[1]) for row in cursor.execute(sql, (limit,))]


def moved_to_files(cursor: Cursor, rows: Sequence[Row]) -> None:
    """Note that the files of `rows`, which were inline, are synced and in place."""
    addresses = [(row.address,) for row in rows]
    list(cursor.executemany("UPDATE chunks SET location = 0 WHERE address = ?", addresses))
    list(cursor.executemany("DELETE FROM inline_chunks WHERE address = ?", addresses))


def usage(cursor: Cursor) -> StoreUsage:
    return StoreUsage(*one(cursor.execute("SELECT chunks, bytes FROM chunk_totals")))


# Marking: the table `marks` holds what the collection under way has found referenced.


def clear_marks(cursor: Cursor) -> None:
    list(cursor.execute("DELETE FROM marks"))


def mark(cursor: Cursor, addresses: Iterable[Address]) -> None:
    list(cursor.executemany("INSERT OR IGNORE INTO marks VALUES (?)", ((address,) for address in sorted(addresses))))


_UNMARKED = "touched_at < ? AND NOT EXISTS (SELECT 1 FROM marks WHERE marks.address = chunks.address)"


def unmarked(cursor: Cursor, touched_before_s: float, after: Address | None, limit: int) -> list[Row]:
    """The next rows, in address order, of chunks that are not marked and not touched since."""
    sql = (
        "SELECT address, size, location FROM chunks"  # noqa: S608 - constants
        f" WHERE {_UNMARKED} AND address > ? ORDER BY address LIMIT ?"
    )
    return [_row(row) for row in cursor.execute(sql, (int(touched_before_s), after or b"", limit))]


def remove_unmarked(cursor: Cursor, touched_before_s: float, addresses: Iterable[Address]) -> list[Row]:
    """Delete those of `addresses` that still are unmarked and untouched; the rows that were deleted."""
    sql = f"DELETE FROM chunks WHERE {_UNMARKED} AND address = ? RETURNING address, size, location"  # noqa: S608
    bindings = ((int(touched_before_s), address) for address in addresses)
    return [_row(row) for row in cursor.executemany(sql, bindings)]
