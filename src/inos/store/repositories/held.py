"""Held objects and chunks, which others write (`store/holdings.py`, `store/disk_chunks.py`), to be looked at."""

from __future__ import annotations

from inos.core.ids import Address, Cid
from inos.core.rows.kept import HeldObject, KeptChunk
from inos.store.repositories.repository import Form, ReadRepository

_LOCATIONS = ("file", "database")


class HeldObjects(ReadRepository[HeldObject]):
    """What the view `objects` shows."""

    kind = HeldObject
    table = "objects"
    forms = {"cid": Form(bytes, Cid)}


class KeptChunks(ReadRepository[KeptChunk]):
    """The rows of the chunk index."""

    kind = KeptChunk
    table = "chunks"
    forms = {
        "address": Form(bytes, Address),
        "location": Form(_LOCATIONS.index, _LOCATIONS.__getitem__),
    }
