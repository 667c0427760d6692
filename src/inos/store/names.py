"""The index of the owner's names, read from catalogue records and kept in the encrypted database.

It holds nothing that the records do not: a damaged or stale index is cleared and read again from them, which happens at
every start. Names are ordered by their UTF-8 bytes, which is the order of code points.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from inos.core.ids import Cid
from inos.store.cursor import Cursor, SqlValue, first, one
from inos.store.database import Database

_COLUMNS = "name, key, kind, cid, reference, size, mode, modified_ms, target, content"
# Sorts behind every name that starts with the prefix it is appended to.
_AFTER_ALL = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class NameRow:
    """One name. `key` is the record's; `cid` is None for folders and links. `content` is the keyed digest of what a
    file holds (`CatalogueCipher.content_key`), None where it is not known."""

    name: str
    key: bytes
    kind: str
    cid: Cid | None
    reference: str
    size: int
    mode: int
    modified_ms: int
    target: str
    content: bytes | None = None


class NameIndex:
    """Names in one database. Calls block."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def apply(self, rows: Sequence[NameRow], gone: Sequence[bytes] = (), hidden: Sequence[bytes] = ()) -> set[Cid]:
        """Put `rows` in the index and take out the records whose keys are in `gone`, or `hidden`, as what they stand
        for cannot be read. What the others of these names stood for before and do not now."""
        now = {row.key: row.cid for row in rows}

        def work(cursor: Cursor) -> set[Cid]:
            before = [(key, _stands_for(cursor, key)) for key in (*now, *gone)]
            for key in (*gone, *hidden):
                cursor.execute("DELETE FROM names WHERE key = ?", (key,))
            for row in rows:
                values = (
                    row.name, row.key, row.kind, row.cid and bytes(row.cid), row.reference, row.size, row.mode,
                    row.modified_ms, row.target, row.content,
                )  # fmt: skip
                cursor.execute(f"INSERT OR REPLACE INTO names ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)", values)  # noqa: S608 - constant columns
            return {cid for key, cid in before if cid is not None and cid != now.get(key)}

        return self._database.write(work)

    def clear(self) -> None:
        self._database.write(lambda cursor: cursor.execute("DELETE FROM names"))

    def get(self, name: str) -> NameRow | None:
        found = self._select("WHERE name = ?", (name,))
        return found[0] if found else None

    def page(self, prefix: str, after: str, limit: int) -> list[NameRow]:
        """Up to `limit` names that start with `prefix` and sort behind `after`."""
        return self._select(
            "WHERE name >= ? AND name < ? AND name > ? ORDER BY name LIMIT ?",
            (prefix, prefix + _AFTER_ALL, after, limit),
        )

    def below(self, folder: str, after: str, limit: int) -> list[NameRow]:
        """Up to `limit` of the name `folder` itself and everything in it, behind `after`."""
        inside = folder.rstrip("/") + "/"
        return self._select(
            "WHERE (name = ? OR (name >= ? AND name < ?)) AND name > ? ORDER BY name LIMIT ?",
            (folder, inside, inside + _AFTER_ALL, after, limit),
        )

    def kinds(self, names: Iterable[str]) -> dict[str, str]:
        """What those of `names` that there are stand for."""

        def work(cursor: Cursor) -> dict[str, str]:
            query = "SELECT name, kind FROM names WHERE name = ?"
            return {str(row[0]): str(row[1]) for name in names for row in cursor.execute(query, (name,))}

        return self._database.read(work)

    def full(self, names: Iterable[str]) -> list[str]:
        """Those of `names` that have names below them."""

        def work(cursor: Cursor) -> list[str]:
            query = "SELECT 1 FROM names WHERE name > ? AND name < ? LIMIT 1"
            return [name for name in names if list(cursor.execute(query, (f"{name}/", f"{name}/{_AFTER_ALL}")))]

        return self._database.read(work)

    def of_object(self, cid: Cid) -> list[NameRow]:
        """Every name that stands for this object."""
        return self._select("WHERE cid = ? ORDER BY name", (bytes(cid),))

    def of_content(self, content: bytes, after: str, limit: int) -> list[NameRow]:
        """Up to `limit` names of files whose content has this keyed digest, behind `after`."""
        return self._select("WHERE content = ? AND name > ? ORDER BY name LIMIT ?", (content, after, limit))

    def count(self) -> int:
        return int(self._database.read(lambda cursor: one(cursor.execute("SELECT count(*) FROM names"))[0]))

    def _select(self, where: str, values: tuple[SqlValue, ...]) -> list[NameRow]:
        query = f"SELECT {_COLUMNS} FROM names {where}"  # noqa: S608 - clauses are constants above
        return self._database.read(lambda cursor: [_row(*columns) for columns in cursor.execute(query, values)])


def _stands_for(cursor: Cursor, key: bytes) -> Cid | None:
    found = first(cursor.execute("SELECT cid FROM names WHERE key = ?", (key,)))
    return None if found is None or found[0] is None else Cid(found[0])


def _row(
    name: str,
    key: bytes,
    kind: str,
    cid: bytes | None,
    reference: str,
    size: int,
    mode: int,
    modified_ms: int,
    target: str,
    content: bytes | None,
) -> NameRow:
    number = None if cid is None else Cid(cid)
    return NameRow(name, key, kind, number, reference, size, mode, modified_ms, target, content)
