"""What the operating system says about a disk, as the errors a user can be shown."""

from __future__ import annotations

import errno
import os
from typing import Final

from inos.core.errors import Busy, Corrupt, InosError, StorageFull

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# The process has run out of something that comes back; the disk is fine and its content must not be doubted.
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR})


def from_errno(number: int, doing: str) -> InosError:
    """The error for `number` met while `doing` ("writing inos.db")."""
    said = os.strerror(number) if number else "input/output error"
    if number in NO_ROOM:
        return StorageFull(f"no room while {doing}: {said}", hint="free space on this disk or raise the quota")
    if number in _EXHAUSTED:
        return Busy(f"{doing} failed: {said}", hint="too much at once for this process; try again")
    return Corrupt(f"{doing} failed: {said}", hint="check the disk and the permissions of the data root")


def exhausted(error: OSError) -> bool:
    """Whether `error` tells of this process rather than of the disk."""
    return error.errno in _EXHAUSTED
