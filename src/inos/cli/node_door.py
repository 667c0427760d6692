"""The commands that need the node's own code (network, database, keys): loaded only when one of them runs."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from inos.core.options import InitOptions, InitReport, RebuildReport, UpOptions
from inos.core.reports import JoinReport

if TYPE_CHECKING:
    from inos.core.component_keys import KeyCalls
    from inos.core.rows.calls import RowCalls

T = TypeVar("T")


class RootCommands(Protocol):
    """What `inos.daemon.roots` offers; all blocking, and quick because the network is not loaded."""

    def init_home(self, options: InitOptions) -> InitReport:
        """Make a data root."""

    def change_passphrase(self, home: Path, old: str | None, new: str | None) -> None:
        """Seal the secrets anew; None stands for a data root without passphrase."""

    def rebuild_home(self, home: Path, passphrase: str | None, progress: Callable[[int, int], None]) -> RebuildReport:
        """Make the database sound again; `progress` hears of folders done and folders there are."""


class NodeCommands(Protocol):
    """What `inos.daemon.run` offers; all blocking."""

    def run_node(self, options: UpOptions) -> None:
        """Run a node until SIGINT or SIGTERM; prints its events."""

    def join_offline(self, home: Path, ticket: str, passphrase: str | None) -> JoinReport:
        """Join a mesh while no node runs on `home`."""


class Desks(Protocol):
    """What a running node and an opened data root both answer."""

    @property
    def db(self) -> RowCalls: ...

    @property
    def keys(self) -> KeyCalls: ...


class OfflineCommands(Protocol):
    """What `inos.daemon.offline` offers; all blocking, and quick because the network is not loaded."""

    def with_root(self, home: Path, passphrase: str | None, work: Callable[[Desks], Awaitable[T]]) -> T:
        """Run `work` on a data root on which no node runs."""


class Demo(Protocol):
    """What `inos.cli.demo` offers."""

    def run_demo(self, nodes: int, kill: int, file: Path | None, json: bool) -> None:
        """A mesh on this machine, a file in, nodes killed, the file back."""


class Cluster(Protocol):
    """What `inos.cli.cluster` offers."""

    def run_cluster(self, nodes: int, folder: Path, json: bool) -> None:
        """Start a mesh below `folder` that stays when this process ends; prints how to reach it."""

    def stop_cluster(self, folder: Path, json: bool) -> None:
        """End the nodes that were started below `folder`; their data stays."""


def root_commands() -> RootCommands:
    """The side of the command line that makes and seals data roots."""
    return cast(RootCommands, importlib.import_module("inos.daemon.roots"))


def node_commands() -> NodeCommands:
    """The node's side of the command line."""
    return cast(NodeCommands, importlib.import_module("inos.daemon.run"))


def offline_commands() -> OfflineCommands:
    """What can be done with a data root on which no node runs."""
    return cast(OfflineCommands, importlib.import_module("inos.daemon.offline"))


def demo() -> Demo:
    """The demonstration."""
    return cast(Demo, importlib.import_module("inos.cli.demo"))


def cluster() -> Cluster:
    """The local cluster."""
    return cast(Cluster, importlib.import_module("inos.cli.cluster"))
