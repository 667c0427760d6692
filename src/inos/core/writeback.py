"""Having the kernel write what is in its page cache before anybody waits for it.

Whoever syncs a file of a gigabyte at the end waits for a gigabyte; with this the disk has been at it all along. Off
Linux it does nothing, and it promises nothing anywhere: only a sync does.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Final, cast

_START_WRITING: Final = 2  # SYNC_FILE_RANGE_WRITE


def _find_sync_file_range() -> Callable[[int, int, int, int], int] | None:
    try:
        function = ctypes.CDLL(None).sync_file_range
    except (OSError, AttributeError):  # not Linux
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return cast("Callable[[int, int, int, int], int]", function)


_sync_file_range: Final = _find_sync_file_range()


def start_writeback(descriptor: int, start: int = 0, size: int = 0) -> None:
    """Begin to write `size` bytes of a file from `start` on; 0 is up to its end."""
    if _sync_file_range is not None:
        _sync_file_range(descriptor, start, size, _START_WRITING)
