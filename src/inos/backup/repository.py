"""A backup as a store of pieces and snapshots, at one place under one owner's keys.

Rules: pieces are in packs before an index names them, and indexes before a snapshot needs them; things are removed in
the reverse order (`prune.py`). A piece counts as there when an index names it and its pack has room for it, so a pack
that was lost is written again by the next backup.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from inos.backup.index import MAX_ENTRIES, IndexTable, encode_index
from inos.backup.packs import PackWriter, Spot, open_piece, pack_key
from inos.backup.place import Place
from inos.backup.sealing import HEAD_BYTES, SALT_BYTES, BackupKeys, Kind, check_head, file_name
from inos.backup.snapshot import MAX_SNAPSHOT_BYTES, Snapshot
from inos.core.errors import BadInput, Corrupt, NotFound, WrongPassphrase
from inos.crypto.hashing import address_of, blake3_digest

HEADER: Final = "inos-backup"
PACKS: Final = "packs"
INDEX: Final = "index"
SNAPSHOTS: Final = "snapshots"
# A killed backup sends this much again at most: 16 packs.
PACKS_AN_INDEX: Final = 16
_TABLES: Final = 24  # decoded indexes in memory: 34 MB
_KEYS: Final = 64
_DIGEST: Final = 32


@dataclass(frozen=True, slots=True)
class _Range:
    """An index file and the ids it spans."""

    name: str
    first: bytes
    last: bytes


class Repository:
    """Use within `place.lock`. Blocks; one thread at a time."""

    def __init__(self, place: Place, keys: BackupKeys, owner: bytes, token_bytes: Callable[[int], bytes]) -> None:
        self.place = place
        self.keys = keys
        self._owner = owner
        self._token_bytes = token_bytes
        self._ranges: list[_Range] = []
        self._tables: OrderedDict[str, IndexTable] = OrderedDict()
        self._pack_sizes: dict[str, int] = {}
        self._pack_keys: OrderedDict[bytes, bytes] = OrderedDict()
        self._writer: PackWriter | None = None
        self._pending: dict[bytes, Spot] = {}
        self._adding: set[bytes] = set()
        self._packs_pending = 0
        self.problems: list[str] = []
        self.sent_bytes = 0

    # Opening

    def open(self, *, create: bool) -> None:
        """Read the header and the indexes; damaged indexes go to `problems`. Raises NotFound where no backup is,
        BadInput where something else is, WrongPassphrase where it is another owner's, Corrupt, NewerFormat."""
        try:
            header = self.place.read(HEADER)
        except NotFound:
            if not create and not self.place.names(SNAPSHOTS):
                raise NotFound("there is no backup at this place", hint="make one with: inos backup DEST") from None
            if create:
                self._begin()
        else:
            self._check_header(header)
        self._pack_sizes = {name.rpartition("/")[2]: size for name, size in self.place.names(PACKS).items()}
        for name in sorted(self.place.names(INDEX)):
            try:
                self._note_range(name, self._load(name))
            except Corrupt as error:
                self.problems.append(error.message)

    def refuse_foreign(self) -> None:
        """Raises BadInput where something else is, before a lock or anything is put there."""
        try:
            self.place.read(HEADER, 0, 1)
        except NotFound:
            foreign = [name for name in self.place.names("") if name.partition("/")[0] not in _OWN]
            if foreign:
                hint = "name an empty folder, or a new one"
                raise BadInput(f"this place holds other things: {foreign[0]!r}", hint=hint) from None

    def _begin(self) -> None:
        """Make a place ours. Where the header alone is missing, it is whoever's keys open what is there."""
        self._refuse_others()
        sealed = self.keys.seal_file(Kind.HEADER, self._token_bytes(SALT_BYTES), self._owner)
        self.place.write(HEADER, sealed + blake3_digest(sealed))

    def _refuse_others(self) -> None:
        """Raises WrongPassphrase where something sound does not open, Corrupt where nothing can be told."""
        ours = False
        for kind, folder in ((Kind.INDEX, INDEX), (Kind.SNAPSHOT, SNAPSHOTS)):
            for name in self.place.names(folder):
                try:
                    data = self._named(name)
                except Corrupt:
                    continue
                try:
                    self.keys.open_file(kind, data, name)
                except Corrupt:
                    raise _others() from None
                ours = True
        if not ours and any(self.place.names(folder) for folder in (PACKS, INDEX, SNAPSHOTS)):
            hint = "name another folder; what is here may be somebody else's"
            raise Corrupt(f"{HEADER} is missing, and nothing here shows whose backup this is", hint=hint)

    def _check_header(self, data: bytes) -> None:
        hint = f"what it holds can be read without it: move {HEADER} away, then run: inos backup check"
        try:
            check_head(Kind.HEADER, data, HEADER)
        except Corrupt:
            raise Corrupt(f"{HEADER} is damaged", hint=hint) from None
        if blake3_digest(data[:-_DIGEST]) != data[-_DIGEST:]:
            raise Corrupt(f"{HEADER} is damaged", hint=hint)
        try:
            owner = self.keys.open_file(Kind.HEADER, data[:-_DIGEST], HEADER)
        except Corrupt:
            owner = b""
        if owner != self._owner:
            raise _others()

    def refuse_nothing(self) -> None:
        """Raises NotFound where no backup is, before anything is put there."""
        try:
            self.place.read(HEADER, 0, 1)
        except NotFound:
            if not self.place.names(SNAPSHOTS):
                raise NotFound("there is no backup at this place", hint="make one with: inos backup DEST") from None

    # Pieces

    def has(self, piece_id: bytes) -> bool:
        """Whether the piece is there, or on its way."""
        return piece_id in self._adding or self.spot(piece_id) is not None

    def spot(self, piece_id: bytes) -> Spot | None:
        """Where the piece lies, in a pack that is there."""
        if piece_id in self._pending:
            return self._pending[piece_id]
        found = self.entry(piece_id)
        return None if found is None else found[2]

    def entry(self, piece_id: bytes) -> tuple[str, int, Spot] | None:
        """The index, and the number of its entry, that says where the piece lies."""
        for span in self._ranges:
            if span.first <= piece_id <= span.last:
                table = self._table(span.name)
                number = table.number_of(piece_id)
                if number is not None and self._reaches(spot := table.spot_at(number)):
                    return span.name, number, spot
        return None

    def _reaches(self, spot: Spot) -> bool:
        return self._pack_sizes.get(spot.pack.hex(), 0) >= spot.offset + spot.size

    def add(self, piece_id: bytes, data: bytes) -> bool:
        """Add a piece where it is missing; whether it was."""
        if self.has(piece_id):
            return False
        self.add_again(piece_id, data)
        return True

    def add_again(self, piece_id: bytes, data: bytes) -> None:
        """Add a piece though it may be there, so that its pack can go."""
        self._writer = self._writer or PackWriter(self.keys, self._token_bytes(SALT_BYTES))
        self._writer.add(piece_id, data)
        self._adding.add(piece_id)
        if self._writer.full:
            self._close_pack()

    def add_block(self, data: bytes) -> bytes:
        """Add what is named by the keys and not by its address; its id."""
        piece_id = self.keys.piece_id(data)
        self.add(piece_id, data)
        return piece_id

    def flush(self) -> None:
        """Everything added can be found by whoever opens the backup next, when this returns."""
        self._close_pack()
        self._write_index()

    def _close_pack(self) -> None:
        if self._writer is None:
            return
        pack = self._writer.finish()
        self.place.write(pack_path(pack.name), pack.data)
        self._pack_sizes[pack.name] = len(pack.data)
        self._pending |= pack.spots
        self._adding.clear()
        self._writer = None
        self.sent_bytes += len(pack.data)
        self._packs_pending += 1
        if self._packs_pending >= PACKS_AN_INDEX:
            self._write_index()

    def _write_index(self) -> None:
        ordered = sorted(self._pending)
        for start in range(0, len(ordered), MAX_ENTRIES):
            self.write_index({piece: self._pending[piece] for piece in ordered[start : start + MAX_ENTRIES]})
        self._pending.clear()
        self._packs_pending = 0

    def write_index(self, spots: Mapping[bytes, Spot]) -> None:
        """Say where 1 to MAX_ENTRIES pieces lie."""
        text = encode_index(spots)
        data = self.keys.seal_file(Kind.INDEX, self._token_bytes(SALT_BYTES), text)
        name = f"{INDEX}/{file_name(data)}"
        self.place.write(name, data)
        self.sent_bytes += len(data)
        self._note_range(name, IndexTable.decode(text, name))

    def chunk(self, address: bytes) -> bytes:
        """The stored bytes of a chunk, proven. Raises Corrupt, naming the file, when they are missing or damaged."""
        data = self.piece(address)
        if address_of(data) != address:
            raise Corrupt("a chunk in the backup is not what its address says", hint="see: inos backup check")
        return data

    def block(self, piece_id: bytes) -> bytes:
        """A block or a list, proven. Raises Corrupt."""
        data = self.piece(piece_id)
        if self.keys.piece_id(data) != piece_id:
            raise Corrupt("a block in the backup is not what its id says", hint="see: inos backup check")
        return data

    def piece(self, piece_id: bytes) -> bytes:
        """A piece of any kind, as it was sealed. Raises Corrupt."""
        spot = self.spot(piece_id)
        if spot is None:
            what = self.problems[0] if self.problems else "its pack or the index that names it is missing"
            raise Corrupt(f"a piece is not in the backup: {what}", hint="see: inos backup check")
        where = pack_path(spot.pack.hex())
        sealed = self.place.read(where, spot.offset, spot.size)
        return open_piece(self._pack_key(spot.pack, where), piece_id, sealed, where)

    def _pack_key(self, pack: bytes, where: str) -> bytes:
        if pack not in self._pack_keys:
            self._pack_keys[pack] = pack_key(self.keys, self.place.read(where, 0, HEAD_BYTES), where)
            if len(self._pack_keys) > _KEYS:
                self._pack_keys.popitem(last=False)
        return self._pack_keys[pack]

    # Indexes

    def indexes(self) -> Iterator[tuple[str, IndexTable]]:
        """Every index that can be read, by the name of its file, as they are now."""
        for span in tuple(self._ranges):
            yield span.name, self._table(span.name)

    def _table(self, name: str) -> IndexTable:
        table = self._tables.pop(name, None) or self._load(name)
        self._tables[name] = table
        if len(self._tables) > _TABLES:
            self._tables.popitem(last=False)
        return table

    def _load(self, name: str) -> IndexTable:
        data = self._named(name)
        return IndexTable.decode(self.keys.open_file(Kind.INDEX, data, name), name)

    def _note_range(self, name: str, table: IndexTable) -> None:
        self._ranges.append(_Range(name, table.id_at(0), table.id_at(len(table) - 1)))

    def _named(self, name: str) -> bytes:
        """A whole file that is named by its hash. Raises Corrupt."""
        data = self.place.read(name)
        if file_name(data) != name.rpartition("/")[2]:
            raise Corrupt(f"{name} is damaged", hint="see: inos backup check")
        return data

    # Packs and snapshots

    def pack_names(self) -> list[str]:
        return sorted(self._pack_sizes)

    def pack_size(self, name: str) -> int:
        return self._pack_sizes.get(name, 0)

    def check_pack(self, name: str) -> None:
        """Read a whole pack. Raises Corrupt, naming it."""
        self._named(pack_path(name))

    def write_snapshot(self, snapshot: Snapshot) -> str:
        """Name a moment; all it needs must have been flushed. Its id."""
        text = snapshot.encode()
        if len(text) > MAX_SNAPSHOT_BYTES:
            raise BadInput("this is too much for one snapshot", hint="split it over several data roots")
        data = self.keys.seal_file(Kind.SNAPSHOT, self._token_bytes(SALT_BYTES), text)
        name = file_name(data)
        self.place.write(f"{SNAPSHOTS}/{name}", data)
        self.sent_bytes += len(data)
        return name

    def snapshots(self) -> Iterator[tuple[str, Snapshot | Corrupt]]:
        """Every snapshot by its id, or what is wrong with it."""
        for path, size in sorted(self.place.names(SNAPSHOTS).items()):
            name = path.rpartition("/")[2]
            try:
                if size > 2 * MAX_SNAPSHOT_BYTES:
                    raise Corrupt(f"{path} is damaged: too large", hint="see: inos backup check")
                yield name, Snapshot.decode(self.keys.open_file(Kind.SNAPSHOT, self._named(path), path), path)
            except Corrupt as error:
                yield name, error


def _others() -> WrongPassphrase:
    return WrongPassphrase("this backup was made with another phrase", hint="give the phrase it was made with")


def pack_path(name: str) -> str:
    return f"{PACKS}/{name[:2]}/{name}"


_OWN: Final = frozenset({HEADER, PACKS, INDEX, SNAPSHOTS, "lock", "locks", "lost+found"})
