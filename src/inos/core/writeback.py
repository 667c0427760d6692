"""Having the kernel write what is in its page cache before anybody waits for it.

Whoever syncs a file of a gigabyte at the end waits for a gigabyte; with this the disk has been at it all along. Off
Linux it does nothing, and it promises nothing anywhere: only a sync does.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

# SYNC_FILE_RANGE_WAIT_BEFORE, _WRITE and _WAIT_AFTER
_START_WRITING: Final = 2
_WRITE_AND_WAIT: Final = 1 | 2 | 4
# What says that a file system or kernel has no such call, not that writing failed.
_UNABLE: Final = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)


def _find_sync_file_range() -> Callable[[int, int, int, int], int] | None:
    try:
        function = ctypes.CDLL(None, use_errno=True).sync_file_range
    except (OSError, AttributeError):  # not Linux
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return cast("Callable[[int, int, int, int], int]", function)


_sync_file_range: Final = _find_sync_file_range()


def start_writeback(descriptor: int, start: int = 0, size: int = 0) -> None:
    """Begin to write `size` bytes of a file from `start` on; 0 is up to its end."""
    if _sync_file_range is not None:
        _sync_file_range(descriptor, start, size, _START_WRITING)


def leave_cache(descriptor: int, start: int, size: int) -> None:
    """Have `size` bytes of a file from `start` on written, wait for that, and let the kernel use their memory again.
    Raises OSError where they could not be written: who syncs the file later would not be told of it any more."""
    if _sync_file_range is None:
        return
    if _sync_file_range(descriptor, start, size, _WRITE_AND_WAIT):
        number = ctypes.get_errno()
        if number not in _UNABLE:
            raise OSError(number, os.strerror(number))
    with suppress(OSError):  # it stays in memory, where a file system cannot do this
        os.posix_fadvise(descriptor, start, size, os.POSIX_FADV_DONTNEED)
