"""What a person reads: sizes, ages, aligned tables; and the same things as JSON.

Results go to standard output, everything about them to standard error. Colour only on a terminal, never with NO_COLOR.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Final, TextIO

from inos.core.errors import BadInput, InosError, StorageFull

_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_AGES: Final = ((86400.0 * 2, 86400.0, "d"), (7200.0, 3600.0, "h"), (120.0, 60.0, "min"))
RED: Final = "31"
GREEN: Final = "32"
YELLOW: Final = "33"
BOLD: Final = "1"


def size_text(size: float) -> str:
    """Bytes for people, decimal: "999 B", "1.5 kB", "12 MB"."""
    unit = 0
    while size >= 999.5 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    digits = 1 if unit and size < 9.95 else 0
    return f"{size:.{digits}f} {_UNITS[unit]}"


def age_text(age_s: float | None) -> str:
    """A length of time for people: "3 s", "5 min", "never" for None."""
    if age_s is None:
        return "never"
    for least_s, unit_s, unit in _AGES:
        if age_s >= least_s:
            return f"{age_s / unit_s:.0f} {unit}"
    return f"{age_s:.0f} s" if age_s >= 9.95 else f"{age_s:.1f} s"


def time_text(seconds: float) -> str:
    """A moment, in seconds since 1970, in this machine's time zone."""
    try:
        return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):
        return "?"


def count_text(number: int, thing: str) -> str:
    """ "1 node", "2 nodes" """
    return f"{number} {thing}{'' if number == 1 else 's'}"


def losses_text(survives: int) -> str:
    """What an object's durability means."""
    if survives <= 0:
        return "does not survive the loss of its node yet"
    return f"survives the loss of {count_text(survives, 'node')}"


def table(rows: Iterable[Sequence[str]], *, right: frozenset[int] = frozenset()) -> str:
    """Aligned columns, the first row being the heads; columns in `right` are aligned to the right."""
    cells = [list(row) for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = []
    for row in cells:
        padded = (
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def coloured(stream: TextIO) -> bool:
    """Whether to use colour on `stream`."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    """`text` in a colour, where colour is used."""
    return f"\x1b[{colour}m{text}\x1b[0m" if coloured(stream or sys.stdout) else text


def say(text: str) -> None:
    """A result, to standard output."""
    with standard_output():
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


@contextmanager
def standard_output() -> Iterator[None]:
    """While something is written to standard output: a full disk behind it is an InosError. That nobody reads any more
    stays what it is, and ends the command quietly."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        # What is in the buffer still would be tried again, and complained about, when the process ends.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        kind = StorageFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else BadInput
        raise kind(
            f"cannot write to standard output: {error.strerror}", hint="free some space, or let it go elsewhere"
        ) from None


def note(text: str) -> None:
    """Something about a result, to standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def say_json(value: Any) -> None:
    """A result as one line of JSON."""
    say(json.dumps(value, ensure_ascii=False))


def complain(error: InosError, as_json: bool) -> None:
    """An error, to standard error: two lines for people, or one JSON object."""
    if as_json:
        fields = {"code": error.code, "message": error.message, "hint": error.hint, "retryable": error.retryable}
        note(json.dumps({"error": fields}, ensure_ascii=False))
        return
    note(f"{paint('error:', RED, sys.stderr)} {error.message}")
    if error.hint:
        note(f"{paint('hint:', YELLOW, sys.stderr)} {error.hint}")
