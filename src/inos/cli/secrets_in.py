"""Where passphrases and phrases come from: a file, the environment, standard input, or a person at a terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from inos.cli.node_door import root_commands
from inos.cli.output import note
from inos.core.errors import BadInput, NotFound

VARIABLE: Final = "INOS_PASSPHRASE"
# A passphrase of a page is a mistake: the wrong file was named.
_MAX_BYTES: Final = 4096
_HOW: Final = f"set ${VARIABLE}, give --passphrase-file, or run it in a terminal"


def existing_passphrase(home: Path, file: Path | None) -> str | None:
    """The passphrase of the data root `home`; None when it relies on file permissions, or there is none. Raises
    BadInput and what looking at its cocoon raises."""
    if file is None and not root_commands().needs_passphrase(home):
        return None
    return _given(file) or _ask("passphrase: ")


def new_passphrase(file: Path | None, *, from_environment: bool = True) -> str:
    """A passphrase chosen now; a person types it twice. Raises BadInput."""
    given = _given(file) if file or from_environment else None
    if given:
        return given
    chosen = _ask("new passphrase: ")
    if _ask("the same again: ") != chosen:
        raise BadInput("the two passphrases differ", hint="run it again")
    return chosen


def _given(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(VARIABLE) or None
    return read_secret(file)


def read_secret(file: Path) -> str:
    """The first line of a file. Raises NotFound or BadInput."""
    try:
        with file.open("rb") as opened:
            line = opened.read(_MAX_BYTES).partition(b"\n")[0].rstrip(b"\r")
        text = line.decode()
    except FileNotFoundError:
        raise NotFound(f"no such file: {file}") from None
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadInput(f"{file} is not text") from None
    if not text:
        raise BadInput(f"{file} has an empty first line", hint="put the passphrase there")
    return text


def _ask(prompt: str) -> str:
    """Ask at the terminal, also when standard input is a file."""
    if not _at_a_terminal():
        raise BadInput("a passphrase is needed and there is no terminal to ask for it", hint=_HOW)
    from getpass import getpass

    answer = getpass(prompt)
    if not answer:
        raise BadInput("an empty passphrase", hint="to rely on file permissions alone: --no-passphrase")
    return answer


def _at_a_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return sys.stdin.isatty()
    return True


def read_phrase(given: str | None) -> str | None:
    """The seed phrase of `--phrase`: as it stands, or one line of standard input for "-"; None for none."""
    if given != "-":
        return given
    if sys.stdin.isatty():
        note("the seed phrase, in one line:")
    line = sys.stdin.readline(_MAX_BYTES).strip()
    if not line:
        raise BadInput("no phrase on standard input", hint="inos init --phrase - < FILE")
    return line
