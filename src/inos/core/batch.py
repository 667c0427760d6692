"""Many small files in one request body, so that a folder of thousands does not pay a round trip for each.

    item   = header length (4 bytes, big-endian) | header (JSON, UTF-8) | data
    header = {"name": str, "mode": int, "modified_ms": int, "size": int}
    body   = item*

JSON headers because the format is a local, versionless hand-over between a client and its own node, never stored.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from inos.core.errors import BadFrame, TooLarge
from inos.core.file_times import check_modified_ms
from inos.core.reports import BatchItem

BATCH_ITEM_MAX: Final = 64 * 1024  # the size up to which content is kept inside the manifest
BATCH_MAX: Final = 1024 * 1024  # data bytes in one batch: one chunk's worth of memory
BATCH_ITEMS_MAX: Final = 1024  # empty files have no bytes to count; 1,024 catalogue writes are one group commit
_HEADER_MAX: Final = 2304  # the longest name (1,024 bytes) with every character escaped, and the numbers
BATCH_BODY_MAX: Final = BATCH_MAX + BATCH_ITEMS_MAX * (_HEADER_MAX + 4)


def encode_batch(items: Iterable[BatchItem]) -> bytes:
    """The request body of a batch."""
    parts: list[bytes] = []
    for item in items:
        header = _header(item)
        parts += (len(header).to_bytes(4, "big"), header, item.data)
    return b"".join(parts)


def _header(item: BatchItem) -> bytes:
    fields = {"name": item.name, "mode": item.mode, "modified_ms": item.modified_ms, "size": len(item.data)}
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def decode_batch(body: bytes) -> list[BatchItem]:
    """The items of a body. Raises BadFrame for garbage and TooLarge for an item or batch over its limit."""
    items: list[BatchItem] = []
    at = total = 0
    while at < len(body):
        item, at = _decode_item(body, at)
        items.append(item)
        total += len(item.data)
        if total > BATCH_MAX or len(items) > BATCH_ITEMS_MAX:
            raise TooLarge(f"a batch holds at most {BATCH_ITEMS_MAX} files of {BATCH_MAX} bytes together")
    return items


def _decode_item(body: bytes, at: int) -> tuple[BatchItem, int]:
    start = at + 4
    length = int.from_bytes(body[at:start], "big")
    if len(body) < start + length or length > _HEADER_MAX:
        raise BadFrame("the batch is cut off or its header is too long")
    try:
        fields = json.loads(body[start : start + length])
        name, mode, modified_ms, size = (fields[key] for key in ("name", "mode", "modified_ms", "size"))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadFrame("a batch header is not what docs/api.md describes") from None
    if not isinstance(name, str) or not all(type(number) is int and number >= 0 for number in (mode, size)):
        raise BadFrame("a batch header has a field of the wrong type")
    if type(modified_ms) is not int:
        raise BadFrame("a batch header has a field of the wrong type")
    check_modified_ms(modified_ms)
    if size > BATCH_ITEM_MAX:
        raise TooLarge(f"{name[:200]!r}: a file in a batch has at most {BATCH_ITEM_MAX} bytes, this one {size}")
    end = start + length + size
    if len(body) < end:
        raise BadFrame("the batch is cut off")
    return BatchItem(name, mode, modified_ms, body[start + length : end]), end
