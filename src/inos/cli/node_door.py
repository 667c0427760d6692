"""The commands that need the node's own code (network, database, keys): loaded only when one of them runs."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from inos.core.late_imports import uncollected

if TYPE_CHECKING:
    from inos.core.backups import CheckReport, KeepRules, KeySource, PruneReport, SnapshotReport
    from inos.core.component_keys import KeyCalls
    from inos.core.components import ComponentCalls
    from inos.core.options import InitOptions, InitReport, RebuildReport, UpOptions
    from inos.core.reports import BackupReport, JoinReport
    from inos.core.rows.calls import RowCalls

T = TypeVar("T")


class RootCommands(Protocol):
    """What `inos.daemon.roots` offers; all blocking, and quick because the network is not loaded."""

    def init_home(self, options: InitOptions, show: Callable[[InitReport], None]) -> InitReport:
        """Make a data root; `show` is given what it will be right before it comes to be."""

    def needs_passphrase(self, home: Path) -> bool:
        """Whether a passphrase opens this data root; not where there is none."""

    def change_passphrase(self, home: Path, old: str | None, new: str | None) -> None:
        """Seal the secrets anew; None stands for a data root without passphrase."""

    def rebuild_home(self, home: Path, passphrase: str | None, progress: Callable[[int, int], None]) -> RebuildReport:
        """Make the database sound again; `progress` hears of folders done and folders there are."""


class BackupCommands(Protocol):
    """What `inos.daemon.backups` offers; all blocking."""

    def backup_offline(self, home: Path, passphrase: str | None, place: str) -> Generator[BackupReport, None, None]:
        """Back up a data root that no node runs on."""

    def list_backup(self, keys: KeySource, place: str) -> list[SnapshotReport]:
        """The snapshots there are."""

    def check_backup(self, keys: KeySource, place: str, percent: float) -> Generator[CheckReport, None, None]:
        """Prove that a backup would restore."""

    def prune_backup(
        self, keys: KeySource, place: str, rules: KeepRules, *, dry_run: bool = False
    ) -> Generator[PruneReport, None, None]:
        """Remove the snapshots that no rule keeps, and free what only they needed."""

    def forget_snapshots(
        self, keys: KeySource, place: str, ids: Sequence[str], *, dry_run: bool = False
    ) -> Generator[PruneReport, None, None]:
        """Remove these snapshots, and free what only they needed."""

    def restore_home(self, keys: KeySource, place: str, at: str, node: str = "") -> Generator[BackupReport, None, None]:
        """Put a snapshot in the place of a data root; the last report is a RestoreReport."""

    def restore_object(
        self, keys: KeySource, place: str, at: str, target: str, out: Path, node: str = ""
    ) -> Generator[BackupReport, None, None]:
        """Write one object of a snapshot to a file."""


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


class DesksHere(Desks, Protocol):
    """What an opened data root answers besides."""

    @property
    def packages(self) -> ComponentCalls: ...


class OfflineCommands(Protocol):
    """What `inos.daemon.offline` offers; all blocking, and quick because the network is not loaded."""

    def with_root(self, home: Path, passphrase: str | None, work: Callable[[DesksHere], Awaitable[T]]) -> T:
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


def backup_commands() -> BackupCommands:
    """The side of the command line that works on backups."""
    return cast(BackupCommands, importlib.import_module("inos.daemon.backups"))


def node_commands() -> NodeCommands:
    """The node's side of the command line."""
    with uncollected():
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
