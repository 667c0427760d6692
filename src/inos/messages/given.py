"""What a program gives to an agent beside messages, checked before anything is done with it: paths, times, a key. What
is none of these is BadInput, as it is for a field of a message."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Final

from inos.core.errors import BadInput
from inos.core.messages.saying import said
from inos.store.database import KEY_BYTES

_LIFETIME_S: Final = 3.2e9


def check_seconds(name: str, value: Any) -> float:
    """`value` if it is a time to wait; below 0 it is over at once, and what is longer than a lifetime is for ever."""
    if not isinstance(value, int | float) or isinstance(value, bool) or value != value:
        raise BadInput(f"{name} must be a number of seconds", hint="math.inf waits for as long as it takes")
    return math.inf if value > _LIFETIME_S else float(value) if value > 0 else 0.0


def check_path(name: str, value: Any) -> Path | None:
    """The path that `value` is; None where none is given."""
    if value is None or value == "":
        return None
    try:
        path = Path(value).expanduser()
        if 0 in os.fsencode(path):
            raise ValueError("a NUL")
    except (TypeError, ValueError, RuntimeError):  # no path, no text of this system's, no such user
        raise BadInput(f"{name} is no path: {said(value)}", hint="give text or a pathlib.Path") from None
    return path


def check_key(key: Any) -> bytes | None:
    """The key of a cache, None where none is given."""
    if key is not None and not (isinstance(key, bytes) and len(key) == KEY_BYTES):
        raise BadInput(
            f"the key of a cache is {KEY_BYTES} bytes", hint="leave it out: then one is made, kept beside it"
        )
    return key
