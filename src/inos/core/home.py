"""Where a node keeps its things, and the note it leaves for local programs: below everything, so that the client
library can find a running node without loading the node.

`api.json` in the data root is `{"address": "http://127.0.0.1:…", "token": "…", "version": 1}`. It exists while a node
runs; one that a killed node left behind names an address where nobody answers.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from inos.core.errors import BadInput, Corrupt, NewerFormat, NotFound, Refused

API_FILE: Final = "api.json"
_VERSION: Final = 1
# An address and a token take some 150 bytes.
_MAX_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class ApiFile:
    """Where the running node's HTTP API listens, and the bearer token it asks for."""

    address: str
    token: str = field(repr=False)

    def encode(self) -> bytes:
        """The bytes of api.json."""
        return json.dumps({"address": self.address, "token": self.token, "version": _VERSION}).encode()

    @classmethod
    def decode(cls, data: bytes) -> ApiFile:
        """What api.json says. Raises Corrupt or NewerFormat."""
        hint = "restart the node with 'inos up'"
        try:
            document = json.loads(data)
            version, address, token = document["version"], document["address"], document["token"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Corrupt(f"{API_FILE} does not read as what a node writes", hint=hint) from None
        if isinstance(version, int) and version > _VERSION:
            raise NewerFormat(f"{API_FILE} has format {version}, this release knows {_VERSION}", hint="upgrade INOS")
        if not isinstance(address, str) or not isinstance(token, str):
            raise Corrupt(f"{API_FILE} does not read as what a node writes", hint=hint)
        return cls(address, token)


def default_home(environ: Mapping[str, str] | None = None, platform: str = sys.platform) -> Path:
    """$INOS_HOME, else the platform's folder for data: $XDG_DATA_HOME/inos, ~/.local/share/inos, or on macOS
    ~/Library/Application Support/inos. Raises BadInput when there is no home folder to put it in."""
    environ = os.environ if environ is None else environ
    if chosen := environ.get("INOS_HOME"):
        return Path(chosen).expanduser().absolute()
    # The XDG base directory specification has relative paths ignored.
    if (shared := environ.get("XDG_DATA_HOME")) and Path(shared).is_absolute() and platform != "darwin":
        return Path(shared) / "inos"
    try:
        user = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    except RuntimeError:
        raise BadInput("there is no home folder to keep data in", hint="set INOS_HOME or give --home") from None
    return user / ("Library/Application Support/inos" if platform == "darwin" else ".local/share/inos")


def read_api_file(home: Path) -> ApiFile:
    """Address and token of the node running on `home`. Raises NotFound when none does, Refused when it is another
    user's, Corrupt, NewerFormat."""
    path = home / API_FILE
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"no node is running on {home}", hint="start it with 'inos up'") from None
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror}", hint="run as the user that runs the node") from None
    if len(data) > _MAX_BYTES:
        raise Corrupt(f"{path} is too large to be what a node writes", hint="restart the node with 'inos up'")
    return ApiFile.decode(data)
