"""The replica contract: this node's copy of the replicated tables, and the digests that compare it with others'.

Calls block and are safe from several threads. One suite, `inos.testing.records`, holds for every implementation.

Digests, byte for byte, because every node must compute the same:
    record  BLAKE3 of the encoded record
    bucket  BLAKE3 over the bucket's records in ascending order of key: length of the key (2 bytes, big endian), key,
            record digest. A record's bucket is the first byte of the BLAKE3 of its key.
    root    BLAKE3 over the 256 bucket digests
A sector without records has the root EMPTY_ROOT. The sector of a key is a function of the key and never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from inos.core.errors import BadInput
from inos.crypto.hashing import blake3_digest
from inos.state.record import Record

BUCKETS: Final = 256
# A page of records at their usual 0.5 KB is some megabytes; callers that send them have tighter bounds of their own.
MAX_SCAN: Final = 10_000


class Entry(NamedTuple):
    """One record as anti-entropy compares it."""

    key: bytes
    digest: bytes


class ReplicaWriter(Protocol):
    def apply(self, records: Sequence[Record], sectors: Sequence[int]) -> list[bool]:
        """Merge each record, of the sector at its place; whether it changed the replica. Synced when this returns."""

    async def apply_async(self, records: Sequence[Record], sectors: Sequence[int]) -> list[bool]:
        """As `apply`; concurrent callers share one sync."""


class ReplicaReader(Protocol):
    def get(self, table: str, key: bytes) -> Record | None:
        """The version of `key` that holds, tombstones included; None when there never was one."""

    def get_many(self, table: str, keys: Sequence[bytes]) -> list[Record]:
        """Those there are of `keys`, tombstones included, each once."""

    def scan(
        self, table: str, prefix: bytes, after: bytes, limit: int, *, include_removed: bool = False
    ) -> list[Record]:
        """Up to `limit` (at most MAX_SCAN) records whose key begins with `prefix` and is greater than `after`, in
        order of key; a page shorter than `limit` is the last one."""


class ReplicaDigests(Protocol):
    def roots(self, table: str) -> Mapping[int, bytes]:
        """The root of every sector that has records; the same object as before when nothing has changed, or another."""

    def buckets(self, table: str, sector: int) -> list[bytes]:
        """The 256 bucket digests of a sector."""

    def entries(self, table: str, sector: int, buckets: Sequence[int]) -> list[Entry]:
        """The records of these buckets, in order of bucket and key."""


class Replica(ReplicaWriter, ReplicaReader, ReplicaDigests, Protocol):
    """All of it."""

    def root(self, table: str, sector: int) -> bytes: ...


def bucket_of(key: bytes) -> int:
    return blake3_digest(key)[0]


def bucket_digest(entries: Iterable[Entry]) -> bytes:
    """The digest of a bucket whose entries come in ascending order of key."""
    return blake3_digest(b"".join(len(e.key).to_bytes(2, "big") + e.key + e.digest for e in entries))


def root_digest(buckets: Sequence[bytes]) -> bytes:
    return blake3_digest(b"".join(buckets))


EMPTY_BUCKET: Final = bucket_digest(())
EMPTY_ROOT: Final = root_digest([EMPTY_BUCKET] * BUCKETS)


def check_limit(limit: int) -> None:
    """Raises BadInput for a scan that asks for nothing or too much."""
    if not 0 < limit <= MAX_SCAN:
        raise BadInput(f"a scan is for 1 to {MAX_SCAN} records, not {limit}")


def check_paired(records: Sequence[Record], sectors: Sequence[int]) -> None:
    """Raises BadInput unless every record has its sector."""
    if len(records) != len(sectors):
        raise BadInput(f"{len(records)} records were given with {len(sectors)} sectors")
