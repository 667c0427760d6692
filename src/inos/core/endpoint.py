"""Where the data root is, and how a command finds the node that runs on it: the file `api.json` (0600).

Rules: the node writes the file after its API listens and removes it when it stops; a file left by a killed node is
harmless, because connecting to it fails. The token never prints. The file `lock` names the process that holds the data
root (store/root_lock.py); commands only read it, to say which process they wait for.
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from inos.core.errors import Corrupt, NoNode, Refused

ENDPOINT_FILE = "api.json"
# The API once more, for programs that hand over open files; missing where the system or its path does not allow it.
SOCKET_FILE = "api.sock"
LOCK_FILE = "lock"
# Two short strings; anything longer was not written by a node.
_MAX_BYTES = 4096
_MAX_PID_BYTES = 20


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of a node's API ("http://127.0.0.1:4711") and its bearer token."""

    url: str
    token: str = field(repr=False)


def data_root(home: str | os.PathLike[str] | None = None) -> Path:
    """`home`, else $INOS_HOME, else the platform's data folder. It need not exist."""
    chosen = home or os.environ.get("INOS_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "inos"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "inos"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "inos"


def no_node(home: Path) -> NoNode:
    """The error for a data root nobody serves."""
    if not home.exists():
        return NoNode(f"no node is running for {home}, and there is no data root", hint="make one with: inos init")
    return NoNode(f"no node is running for {home}", hint="start one with: inos up")


def read_endpoint(home: Path) -> Endpoint:
    """The endpoint of the node on `home`. Raises NoNode, Corrupt, or Refused when the file belongs to someone
    else."""
    try:
        with (home / ENDPOINT_FILE).open("rb") as file:
            fields = json.loads(file.read(_MAX_BYTES))
        endpoint = Endpoint(str(fields["url"]), str(fields["token"]))
        # A node of an older release writes none; a name that is neither was one of them once.
        if fields.keys() - {"url", "token", "check"} or fields.get("check", _check(endpoint)) != _check(endpoint):
            raise ValueError("its check does not fit")
        return endpoint
    except (FileNotFoundError, NotADirectoryError):
        raise no_node(home) from None
    except PermissionError:
        raise Refused(
            f"{home / ENDPOINT_FILE} cannot be read", hint="run the command as the user who runs the node"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"{home / ENDPOINT_FILE} is damaged: {error}", hint="restart the node: inos up") from None


def lock_holder(home: Path) -> int | None:
    """The process that runs on `home`, as far as its lock file tells; None when it does not, or that one is gone."""
    try:
        with (home / LOCK_FILE).open("rb") as file:
            pid = int(file.read(_MAX_PID_BYTES))
        os.kill(pid, 0)
    except (OSError, ValueError, OverflowError):
        return None
    return pid if pid > 0 else None


def write_endpoint(home: Path, endpoint: Endpoint) -> None:
    """Publish the endpoint: readable by this user only, and never seen half written."""
    new = home / (ENDPOINT_FILE + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"url": endpoint.url, "token": endpoint.token, "check": _check(endpoint)}, file)
    new.replace(home / ENDPOINT_FILE)


def _check(endpoint: Endpoint) -> str:
    """What a flipped bit in either does not pass: it would send the token somewhere else, or a wrong one."""
    return f"{zlib.crc32(f'{endpoint.url} {endpoint.token}'.encode()):08x}"


def remove_endpoint(home: Path) -> None:
    """Withdraw the endpoint; fine when it is not there."""
    (home / ENDPOINT_FILE).unlink(missing_ok=True)
