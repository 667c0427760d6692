"""Rows of what lies on the disk: the cache of the mesh, the objects this node holds, their chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from inos.core.ids import Address, Cid
from inos.core.rows import fields as f
from inos.core.rows.row import Order, Row

CachedKind = Literal["chunk", "page", "manifest", "record", "model"]
ObjectState = Literal["local", "held", "dropping"]
Location = Literal["file", "database"]


@dataclass(frozen=True)
class Cached(Row):
    """Something of the mesh that was fetched and kept. `address` is what it is asked for by, `chunk` the chunk that
    has its bytes: with the chunk the row goes. `content_hash` is the SHA-256 of the content, where it is known."""

    KIND: ClassVar[str] = "cache"
    KEY: ClassVar[str] = "address"
    ORDERS: ClassVar[tuple[Order, ...]] = (
        Order("address", ("address",)),
        Order("accessed", ("last_accessed_s", "address")),
        Order("content", ("address",), equals="content_hash"),
    )
    WRITABLE: ClassVar[bool] = False

    address: Address = f.address()
    kind: CachedKind = f.choice("chunk", "page", "manifest", "record", "model")
    chunk: Address = f.address()
    size_bytes: int = f.whole()
    cached_at_s: int = f.time_s()
    last_accessed_s: int = f.time_s()
    content_hash: bytes | None = f.digest(optional=True)
    access_count: int = f.whole(default=1)


@dataclass(frozen=True)
class HeldObject(Row):
    """An object that this node holds its pieces of. `name` is the first of its names in the owner's catalogue."""

    KIND: ClassVar[str] = "objects"
    KEY: ClassVar[str] = "cid"
    ORDERS: ClassVar[tuple[Order, ...]] = (Order("cid", ("cid",)), Order("state", ("cid",), equals="state"))
    WRITABLE: ClassVar[bool] = False
    REMOVABLE: ClassVar[bool] = False

    cid: Cid = f.cid()
    state: ObjectState = f.choice("local", "held", "dropping")
    epoch: int = f.whole()
    size_bytes: int = f.whole()
    attached_at_s: int = f.time_s()
    dropped_at_s: int | None = f.time_s(optional=True)
    name: str | None = f.text(optional=True)


@dataclass(frozen=True)
class KeptChunk(Row):
    """A chunk on this disk: in a file of its own, or in the database. `verified_at_s` may be ten minutes late."""

    KIND: ClassVar[str] = "chunks"
    KEY: ClassVar[str] = "address"
    ORDERS: ClassVar[tuple[Order, ...]] = (Order("address", ("address",)),)
    WRITABLE: ClassVar[bool] = False
    REMOVABLE: ClassVar[bool] = False

    address: Address = f.address()
    size_bytes: int = f.whole()
    location: Location = f.choice("file", "database")
    stored_at_s: int = f.time_s()
    touched_at_s: int = f.time_s()
    verified_at_s: int = f.time_s()
