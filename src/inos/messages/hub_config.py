"""What the operator says of the hub on a node: `$INOS_HOME/config/hub.yaml`, read when the node starts.

store: sqlite                        # or postgresql://user:password@host/database: then nobody else may read the file
execute: [/usr/local/bin/follow-up]  # run for `inos msg execute`, without a shell; the message is on its input
execute_timeout_seconds: 60
snapshot_seconds: 10                 # how often what is new goes into the mesh
agent_messages_per_second: 10000     # of one agent, on this node's API; what is over it is told to come later
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from inos.core.errors import BadInput
from inos.core.messages.shares import DEFAULT_RATE
from inos.messages.hook import DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S, Hook
from inos.messages.yaml_file import Section, read_yaml

SQLITE: Final = "sqlite"
DEFAULT_SNAPSHOT_S: Final = 10.0
MIN_SNAPSHOT_S: Final = 1.0
MAX_SNAPSHOT_S: Final = 3600.0
MAX_RATE: Final = 1_000_000
_SCHEMES: Final = ("postgresql", "postgres")
_OTHERS: Final = 0o077


@dataclass(frozen=True, slots=True)
class HubConfig:
    """All of it. `store` is SQLITE, or the URL of a PostgreSQL database, which may hold a password."""

    store: str = field(default=SQLITE, repr=False)
    hook: Hook | None = None
    snapshot_s: float = DEFAULT_SNAPSHOT_S
    agent_rate: int = DEFAULT_RATE

    @property
    def store_name(self) -> str:
        """As people are shown it: without address and password."""
        return SQLITE if self.store == SQLITE else "postgresql"


def hub_file(home: Path) -> Path:
    """Where it is."""
    return home / "config" / "hub.yaml"


def load_hub_config(home: Path) -> HubConfig:
    """What the file of a data root says; the defaults where there is none. Raises BadInput. Blocks."""
    path = hub_file(home)
    if not path.exists():
        return HubConfig()
    config = read_hub_config(read_yaml(path))
    if config.store != SQLITE and urlsplit(config.store).password and path.stat().st_mode & _OTHERS:
        raise BadInput(f"{path} holds a password, and others may read it", hint=f"chmod 600 {path}")
    return config


def read_hub_config(file: Section) -> HubConfig:
    """What a file says. Raises BadInput."""
    store = file.text("store", SQLITE)
    if store != SQLITE and not _is_url(store):
        raise file.wrong("store", "must be sqlite, or postgresql://user:password@host/database")
    command = file.texts("execute")
    timeout_s = file.whole("execute_timeout_seconds", DEFAULT_TIMEOUT_S, 1, MAX_TIMEOUT_S)
    snapshot_s = file.number("snapshot_seconds", DEFAULT_SNAPSHOT_S, MIN_SNAPSHOT_S, MAX_SNAPSHOT_S)
    agent_rate = file.whole("agent_messages_per_second", DEFAULT_RATE, 1, MAX_RATE)
    if command and not (all(command) and Path(command[0]).is_absolute()):
        raise file.wrong("execute", "begins with the absolute path of a program", hint="execute: [/path/to/it]")
    file.finish()
    return HubConfig(store, Hook(command, timeout_s) if command else None, snapshot_s, agent_rate)


def _is_url(store: str) -> bool:
    try:
        parts = urlsplit(store)
    except ValueError:
        return False
    return parts.scheme in _SCHEMES and bool(parts.path.strip("/"))
