"""The messages of the table calls: encode, and decode within bounds. Layouts: schema/p2p/tables.capnp.

table.push     RecordBatch   -> PushAnswer        take these
table.digests  DigestList    -> DigestList        which of these places differ from yours, and your roots
table.buckets  BucketRequest -> BucketAnswer      your 256 digests of one place
table.entries  EntryRequest  -> EntryAnswer       what is in these buckets
table.fetch    FetchRequest  -> RecordBatch       the records of these keys, in order of key
table.scan     ScanRequest   -> RecordBatch       a page by key
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from inos.core import codec
from inos.core.errors import BadFrame
from inos.mesh.network import MAX_PAYLOAD_BYTES
from inos.replication.table_view import Place
from inos.state.fields import at_most
from inos.state.records import MAX_KEY_BYTES, MAX_RECORD_BYTES, MAX_TABLE_CHARS
from inos.store.replica import BUCKETS as SECTOR_BUCKETS
from inos.store.replica import Entry

PUSH: Final = "table.push"
DIGESTS: Final = "table.digests"
BUCKETS: Final = "table.buckets"
ENTRIES: Final = "table.entries"
FETCH: Final = "table.fetch"
SCAN: Final = "table.scan"

DIGEST_BYTES: Final = 32
# Checking 2,048 signatures takes a quarter of a second of one core: as long as one call may keep a thread.
MAX_BATCH_RECORDS: Final = 2048
# Beside its bytes a record costs a pointer, a landing pad (it may lie in another segment) and padding; what is left of
# the payload is the frame of the list.
RECORD_OVERHEAD_BYTES: Final = 24
MAX_BATCH_BYTES: Final = MAX_PAYLOAD_BYTES - 4096
# 64 sectors of 16 tables.
MAX_DIGESTS: Final = 1024
# An entry is a key, a digest and their framing: 9,000 of the usual 32-byte keys fill a call.
MAX_ENTRIES_BYTES: Final = MAX_BATCH_BYTES
ENTRY_OVERHEAD_BYTES: Final = 48
MAX_FETCH_KEYS: Final = 1024
MAX_SCAN_RECORDS: Final = 1000

_BATCH: Final = "p2p/tables.capnp:RecordBatch"
_ANSWER: Final = "p2p/tables.capnp:PushAnswer"
_DIGESTS: Final = "p2p/tables.capnp:DigestList"
_BUCKETS: Final = "p2p/tables.capnp:BucketRequest"
_BUCKET_ANSWER: Final = "p2p/tables.capnp:BucketAnswer"
_ENTRIES: Final = "p2p/tables.capnp:EntryRequest"
_ENTRY_ANSWER: Final = "p2p/tables.capnp:EntryAnswer"
_FETCH: Final = "p2p/tables.capnp:FetchRequest"
_SCAN: Final = "p2p/tables.capnp:ScanRequest"


@dataclass(frozen=True, slots=True)
class Batch:
    """Encoded records, each still to be checked. `behind`: from a replica that may miss some; `more`: cut short."""

    records: list[bytes]
    behind: bool = False
    more: bool = False


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """A page of the records of `table` under `prefix`, from the key after `after` on."""

    table: str
    prefix: bytes
    after: bytes
    limit: int


def fitting(sizes: Sequence[int], *, max_items: int, max_bytes: int = MAX_BATCH_BYTES) -> int:
    """How many of these, from the first on, go into one message. At least 1 when there is any."""
    total = 0
    for count, size in enumerate(sizes[:max_items]):
        total += size + RECORD_OVERHEAD_BYTES
        if total > max_bytes and count:
            return count
    return min(len(sizes), max_items)


def encode_batch(batch: Batch) -> bytes:
    return codec.encode(_BATCH, records=batch.records, behind=batch.behind, more=batch.more)


def decode_batch(data: bytes) -> Batch:
    with codec.reading(_BATCH, data, max_bytes=MAX_PAYLOAD_BYTES) as batch:
        at_most(batch.records, MAX_BATCH_RECORDS, "a batch of records")
        records = [_bytes(record, MAX_RECORD_BYTES, "a record") for record in batch.records]
        return Batch(records, bool(batch.behind), bool(batch.more))


def encode_push_answer(applied: int, refused: Mapping[int, str]) -> bytes:
    refusals = [{"index": index, "code": code} for index, code in refused.items()]
    return codec.encode(_ANSWER, applied=applied, refused=refusals)


def decode_push_answer(data: bytes) -> dict[int, str]:
    """Index -> error code of the records that were refused; the others are held by the peer, or newer ones."""
    with codec.reading(_ANSWER, data, max_bytes=MAX_PAYLOAD_BYTES) as answer:
        at_most(answer.refused, MAX_BATCH_RECORDS, "refusals")
        return {int(one.index): str(one.code)[:64] for one in answer.refused}


def encode_digests(roots: Mapping[Place, bytes]) -> bytes:
    digests = [{"table": p.table, "sector": p.sector, "root": root} for p, root in roots.items()]
    return codec.encode(_DIGESTS, digests=digests)


def decode_digests(data: bytes) -> dict[Place, bytes]:
    """Place -> root; an empty root is a place without records."""
    with codec.reading(_DIGESTS, data, max_bytes=MAX_PAYLOAD_BYTES) as found:
        at_most(found.digests, MAX_DIGESTS, "digests")
        return {
            Place(_table(one.table), int(one.sector)): _bytes(one.root, DIGEST_BYTES, "a root") for one in found.digests
        }


def encode_bucket_request(place: Place) -> bytes:
    return codec.encode(_BUCKETS, table=place.table, sector=place.sector)


def decode_bucket_request(data: bytes) -> Place:
    with codec.reading(_BUCKETS, data, max_bytes=1024) as request:
        return Place(_table(request.table), int(request.sector))


def encode_buckets(buckets: Sequence[bytes]) -> bytes:
    return codec.encode(_BUCKET_ANSWER, buckets=list(buckets))


def decode_buckets(data: bytes) -> list[bytes]:
    with codec.reading(_BUCKET_ANSWER, data, max_bytes=MAX_PAYLOAD_BYTES) as answer:
        if len(answer.buckets) != SECTOR_BUCKETS:
            raise BadFrame(f"a place has {SECTOR_BUCKETS} buckets, not {len(answer.buckets)}")
        return [_bytes(one, DIGEST_BYTES, "a bucket") for one in answer.buckets]


def encode_entry_request(place: Place, buckets: Sequence[int]) -> bytes:
    return codec.encode(_ENTRIES, table=place.table, sector=place.sector, buckets=list(buckets))


def decode_entry_request(data: bytes) -> tuple[Place, list[int]]:
    with codec.reading(_ENTRIES, data, max_bytes=4096) as request:
        at_most(request.buckets, SECTOR_BUCKETS, "buckets")
        buckets = sorted({int(one) for one in request.buckets})
        if buckets and buckets[-1] >= SECTOR_BUCKETS:
            raise BadFrame(f"there is no bucket {buckets[-1]}")
        return Place(_table(request.table), int(request.sector)), buckets


def encode_entries(entries: Sequence[Entry]) -> bytes:
    return codec.encode(_ENTRY_ANSWER, entries=[{"key": one.key, "digest": one.digest} for one in entries])


def decode_entries(data: bytes) -> dict[bytes, bytes]:
    """Key -> digest of the encoded record."""
    with codec.reading(_ENTRY_ANSWER, data, max_bytes=MAX_PAYLOAD_BYTES) as answer:
        return {
            _bytes(one.key, MAX_KEY_BYTES, "a key"): _bytes(one.digest, DIGEST_BYTES, "a digest")
            for one in answer.entries
        }


def encode_fetch(table: str, keys: Sequence[bytes]) -> bytes:
    return codec.encode(_FETCH, table=table, keys=list(keys))


def decode_fetch(data: bytes) -> tuple[str, list[bytes]]:
    with codec.reading(_FETCH, data, max_bytes=MAX_PAYLOAD_BYTES) as request:
        at_most(request.keys, MAX_FETCH_KEYS, "keys")
        return _table(request.table), [_bytes(key, MAX_KEY_BYTES, "a key") for key in request.keys]


def encode_scan(request: ScanRequest) -> bytes:
    fields = {"table": request.table, "prefix": request.prefix, "after": request.after, "limit": request.limit}
    return codec.encode(_SCAN, **fields)


def decode_scan(data: bytes) -> ScanRequest:
    with codec.reading(_SCAN, data, max_bytes=4096) as request:
        prefix, after = (_bytes(key, MAX_KEY_BYTES, "a key") for key in (request.prefix, request.after))
        limit = max(1, min(int(request.limit), MAX_SCAN_RECORDS))
        return ScanRequest(_table(request.table), prefix, after, limit)


def _table(name: object) -> str:
    text = str(name)
    if not 0 < len(text) <= MAX_TABLE_CHARS:
        raise BadFrame(f"a table's name has 1 to {MAX_TABLE_CHARS} characters, not {len(text)}")
    return text


def _bytes(data: bytes, limit: int, what: str) -> bytes:
    if len(data) > limit:
        raise BadFrame(f"{what} has {len(data)} bytes, over the limit of {limit}")
    return bytes(data)
