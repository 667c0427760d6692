"""The catalogue at work: names written as sealed records, read back through the index of this node.

Every node of an owner keeps all of the owner's records (it holds their sector whether or not it is a replica), so
listing never asks the network. A name not found here is asked for among the replicas before it is said not to exist:
on a machine that has just joined, records are still arriving.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final, Protocol

import trio

from inos.core.env import Env
from inos.core.errors import InosError, NotEnoughNodes, NotFound
from inos.core.ids import Cid
from inos.crypto.signing import SigningKey
from inos.objects.reference import Reference
from inos.replication.table_gate import Verdict
from inos.replication.table_writes import Level, WriteResult
from inos.state.lamport import LamportClock
from inos.state.record import Record
from inos.state.records import sign_record
from inos.store.names import NameIndex, NameRow
from inos.vault.catalogue import NONCE_BYTES, TABLE, CatalogueCipher, Entry, Kind, cid_of
from inos.vault.places import Standing, check_places, folders_above

_SCAN: Final = 1000
_MAX_REPLACED: Final = 100_000


class Tables(Protocol):
    @property
    def clock(self) -> LamportClock: ...

    async def write(self, records: Sequence[Record]) -> WriteResult: ...

    async def read(self, table: str, key: bytes, *, quorum: bool = False) -> Record | None: ...

    async def take(self, encoded: Sequence[bytes]) -> list[Verdict]: ...

    async def catch_up(self, table: str, prefix: bytes, *, quorum: bool = False) -> None: ...


class LocalRecords(Protocol):
    def get(self, table: str, key: bytes) -> Record | None: ...

    def scan(self, table: str, prefix: bytes, after: bytes, limit: int) -> list[Record]: ...


class Catalogue:
    """The catalogue of one owner on one node."""

    def __init__(
        self,
        cipher: CatalogueCipher,
        owner_key: SigningKey,
        tables: Tables,
        records: LocalRecords,
        index: NameIndex,
        env: Env,
    ) -> None:
        self._cipher = cipher
        self._owner_key = owner_key
        self._tables = tables
        self._records = records
        self._index = index
        self._env = env
        self._arrived: list[Record] = []
        self._indexing = trio.Lock()
        self._replaced: set[Cid] = set()

    async def write(self, entries: Sequence[Entry]) -> bool:
        """Record these names; whether a quorum has them. The last of equal names holds."""
        latest = {entry.name: entry for entry in entries}
        agreed = await self._write(partial(self._sign, list(latest.values())))
        standing = await self.objects_named(list(latest))
        self._note_replaced({cid for cid in map(cid_of, entries) if cid is not None}.difference(standing))
        return agreed

    async def remove(self, names: Sequence[str]) -> bool:
        """Take these names out; whether a quorum knows."""
        return await self._write(partial(self._sign_removals, names))

    async def _write(self, sign: Callable[[], list[Record]]) -> bool:
        """Write what `sign` makes, again when it was made in ignorance of something later; whether a quorum has it."""
        records = await self._env.in_thread(sign)
        agreed = (await self._tables.write(records)).level is Level.QUORUM
        if not agreed and await self._outdone(records):
            agreed = (await self._tables.write(await self._env.in_thread(sign))).level is Level.QUORUM
        await self._catch_up()
        return agreed

    async def _outdone(self, records: Sequence[Record]) -> bool:
        """Whether something later is known of one of these, here or among the replicas; it is here then."""
        for record in records:
            try:
                latest = await self._tables.read(TABLE, record.key, quorum=True)
            except InosError:
                break  # cut off: what is here is all there is to know
            if latest is not None and latest != self._records.get(TABLE, record.key):
                await self._tables.take([latest.encoded])
        return await self._env.in_thread(lambda: any(self._records.get(TABLE, r.key) != r for r in records))

    async def refresh(self, *, quorum: bool = False) -> None:
        """Learn names that were written while this node was away, unless it has compared itself lately. Whoever removes
        an object because it has no name left must have asked. Raises NotEnoughNodes when cut off since before that.
        With `quorum` every name is here that a majority had before this began; NotEnoughNodes when cut off now."""
        await self._tables.catch_up(TABLE, self._cipher.prefix, quorum=quorum)

    async def learn(self, name: str) -> None:
        """Hear from a majority what `name` stands for now: whoever removes it removes that, not what it stood for a
        moment ago. Cut off, this node has to go by what it knows."""
        with suppress(NotEnoughNodes):
            record = await self._tables.read(TABLE, self._cipher.key_of(name), quorum=True)
            if record is not None:
                await self._tables.take([record.encoded])

    async def find(self, name: str) -> Entry:
        """Raises NotFound."""
        await self._catch_up()
        row = await self._env.in_thread(self._index.get, name)
        if row is not None:
            return _entry_of(row)
        record = await self._asked(self._cipher.key_of(name))
        if record is None or record.removed:
            raise NotFound(f"nothing is stored under the name {name}", hint="'inos ls' lists the names there are")
        return await self._env.in_thread(self._cipher.open, record.key, record.value)

    async def _asked(self, key: bytes) -> Record | None:
        """What a majority of the replicas knows of a name; cut off, whoever can be reached."""
        try:
            return await self._tables.read(TABLE, key, quorum=True)
        except NotEnoughNodes:
            return await self._tables.read(TABLE, key)

    async def page(self, prefix: str, after: str, limit: int) -> list[Entry]:
        """Names that start with `prefix` behind `after`, in order."""
        await self._catch_up()
        return [_entry_of(row) for row in await self._env.in_thread(self._index.page, prefix, after, limit)]

    async def tree(self, folder: str) -> list[Entry]:
        """The entry of that name, if any, and everything below it."""
        await self._catch_up()
        found: list[Entry] = []
        while True:
            after = found[-1].name if found else ""
            page = await self._env.in_thread(self._index.below, folder, after, _SCAN)
            found += map(_entry_of, page)
            if len(page) < _SCAN:
                return found

    async def check_places(self, entries: Sequence[Entry]) -> None:
        """Raises Conflict when one of these names cannot stand beside those that this node knows."""
        await self._catch_up()
        folders = {folder for entry in entries for folder in folders_above(entry.name)}
        folders.update(entry.name for entry in entries if entry.kind is Kind.FOLDER)
        others = [entry.name for entry in entries if entry.kind is not Kind.FOLDER]
        check_places(
            entries,
            await self._env.in_thread(
                lambda: Standing(self._index.kinds(folders), frozenset(self._index.full(others)))
            ),
        )

    async def objects_named(self, names: Sequence[str]) -> list[Cid]:
        """The objects these names stand for, as far as they exist."""
        await self._catch_up()
        rows = await self._env.in_thread(lambda: [self._index.get(name) for name in names])
        return [row.cid for row in rows if row is not None and row.cid is not None]

    async def names_of(self, cid: Cid) -> list[Entry]:
        await self._catch_up()
        return [_entry_of(row) for row in await self._env.in_thread(self._index.of_object, cid)]

    async def holding(self, sha256: bytes, after: str, limit: int) -> list[Entry]:
        """Up to `limit` names of files whose whole content has this SHA-256, behind the name `after`, in order. Where
        this node knows of none, it compares itself with the others first."""
        wanted = self._cipher.content_key(sha256)
        found = await self._holding(wanted, after, limit)
        if not found and not after:
            with suppress(NotEnoughNodes):  # cut off: what is here is all there is to know
                await self.refresh()
            found = await self._holding(wanted, after, limit)
        return [replace(entry, sha256=sha256) for entry in found]

    async def _holding(self, content: bytes, after: str, limit: int) -> list[Entry]:
        await self._catch_up()
        return [_entry_of(row) for row in await self._env.in_thread(self._index.of_content, content, after, limit)]

    async def sha256_of(self, name: str) -> bytes:
        """The SHA-256 of what `name` stands for; empty where it is not known."""

        def work() -> bytes:
            record = self._records.get(TABLE, self._cipher.key_of(name))
            entry = None if record is None else self._entry(record)
            return entry.sha256 if entry is not None else b""

        return await self._env.in_thread(work)

    async def still_named(self, cid: Cid) -> bool:
        """Whether a majority knows one of the names that this node knows for an object: their removal may be on its way
        here. Raises NotEnoughNodes."""
        for entry in await self.names_of(cid):
            record = await self._tables.read(TABLE, self._cipher.key_of(entry.name), quorum=True)
            if record is not None and not record.removed:
                found = await self._env.in_thread(self._cipher.open, record.key, record.value)
                if found.reference == entry.reference:
                    return True
        return False

    def seen(self, name: str) -> int:
        """The version of a name's record that this node knows, removals included; 0 for none. Blocks shortly."""
        record = self._records.get(TABLE, self._cipher.key_of(name))
        return 0 if record is None else record.lamport

    async def version(self, name: str) -> int:
        """As `seen`, of what a majority knows. Raises NotEnoughNodes."""
        record = await self._tables.read(TABLE, self._cipher.key_of(name), quorum=True)
        return 0 if record is None else record.lamport

    async def nameless(self, cids: Sequence[Cid]) -> list[Cid]:
        """Those of these objects that no name stands for, as far as this node knows."""
        await self._catch_up()
        return await self._env.in_thread(lambda: [cid for cid in cids if not self._index.of_object(cid)])

    def arrived(self, record: Record) -> None:
        """Told of every catalogue record that changed this node's replica; other owners' are none of ours."""
        if record.key.startswith(self._cipher.prefix):
            self._arrived.append(record)

    async def rebuild(self) -> None:
        """Read the index again from the records; done at every start, because a kill may have left it behind, with
        names in it whose removal came last."""
        await self._env.in_thread(self._index.clear)
        after = b""
        while True:
            records = await self._env.in_thread(self._records.scan, TABLE, self._cipher.prefix, after, _SCAN)
            await self._env.in_thread(self._index_records, records)
            if len(records) < _SCAN:
                return
            after = records[-1].key

    async def _catch_up(self) -> None:
        """Bring the index up to date; whoever asks while that is under way waits for it."""
        async with self._indexing:
            arrived = self._arrived
            if arrived:
                self._arrived = []
                try:
                    self._note_replaced(await self._env.in_thread(self._index_records, arrived))
                except InosError:
                    self._arrived = arrived + self._arrived  # a full disk, say: they are still to be indexed
                    raise

    def _note_replaced(self, cids: Collection[Cid]) -> None:
        if len(self._replaced) < _MAX_REPLACED:
            self._replaced.update(cids)

    async def left_nameless(self) -> list[Cid]:
        """Objects that a name stood for before it was given to something else or removed, here or elsewhere, since this
        was last asked, and that no name stands for now as far as this node knows."""
        await self._catch_up()
        replaced, self._replaced = self._replaced, set()
        return await self.nameless(sorted(replaced))

    def _index_records(self, records: Sequence[Record]) -> set[Cid]:
        rows: dict[bytes, NameRow] = {}
        gone: list[bytes] = []
        hidden: list[bytes] = []
        for key in dict.fromkeys(record.key for record in records):
            # What is in the replica now, not what came: records may have overtaken each other on the way here.
            current = self._records.get(TABLE, key)
            entry = None if current is None else self._entry(current)
            if current is not None and entry is None and not current.removed:
                hidden.append(key)  # of a newer release, say: it may stand for what it stood for before
            elif entry is None:
                gone.append(key)
            else:
                rows[key] = _row_of(key, entry, self._cipher.content_key(entry.sha256) if entry.sha256 else None)
        return self._index.apply(list(rows.values()), gone, hidden)

    def _entry(self, record: Record) -> Entry | None:
        if record.removed:
            return None
        try:
            return self._cipher.open(record.key, record.value)
        except InosError:
            return None  # sealed by the owner's key yet not readable: nothing a name could be shown for

    def _sign(self, entries: Sequence[Entry]) -> list[Record]:
        signed = []
        for entry in entries:
            key = self._cipher.key_of(entry.name)
            value = self._cipher.seal(entry, self._env.token_bytes(NONCE_BYTES))
            signed.append(sign_record(self._owner_key, TABLE, key, value, self._time_for(key)))
        return signed

    def _sign_removals(self, names: Sequence[str]) -> list[Record]:
        keys = [self._cipher.key_of(name) for name in names]
        return [sign_record(self._owner_key, TABLE, key, b"", self._time_for(key), removed=True) for key in keys]

    def _time_for(self, key: bytes) -> int:
        current = self._records.get(TABLE, key)
        return self._tables.clock.tick(after=current.lamport if current is not None else 0)


def _row_of(key: bytes, entry: Entry, content: bytes | None) -> NameRow:
    cid = Reference.parse(entry.reference).cid if entry.reference else None
    return NameRow(
        entry.name, key, entry.kind.value, cid, entry.reference, entry.size, entry.mode, entry.modified_ms,
        entry.target, content,
    )  # fmt: skip


def _entry_of(row: NameRow) -> Entry:
    return Entry(row.name, Kind(row.kind), row.reference, row.size, row.mode, row.modified_ms, row.target)
