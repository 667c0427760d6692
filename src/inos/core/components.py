"""What can be asked of the components of a node, and what it answers; the same beside the node and over the API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

# What a manifest may ask for. `api`: the address of the node's API and its token, which may do all that its owner may.
PERMISSIONS: Final = ("api",)
# A component is a program of somebody's, not a data set: what is larger belongs into objects.
MAX_PACKAGE_BYTES: Final = 64 << 20
MANIFEST_NAME: Final = "component.toml"
MAX_LOG_PART: Final = 256 << 10
# Where the files of front ends are served, behind the address of the API.
APPS_PATH: Final = "/apps/"


@dataclass(frozen=True, slots=True)
class ComponentReport:
    """One component as it is installed and as it runs. `versions` are those whose data is kept, `granted` the part of
    `permissions`, which its manifest asks for, that it was given; times in seconds since 1970, None for never."""

    component_id: str
    name: str
    version: str
    runtime: str
    status: str
    wanted: str
    pid: int | None
    endpoint: str
    started_at_s: int | None
    last_heartbeat_s: int | None
    restarts: int
    last_error: str
    applications: tuple[str, ...]
    permissions: tuple[str, ...]
    granted: tuple[str, ...]
    versions: tuple[str, ...]
    data: str
    digest: str
    installed_at_s: int
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class ApplicationReport:
    """An application: its components, and how many of them run."""

    application_id: str
    name: str
    components: tuple[str, ...]
    running: int


@dataclass(frozen=True, slots=True)
class LogPart:
    """A part of what a component said. `next` asks for what comes behind it; `more` says whether that is there."""

    text: str
    next: str
    more: bool


@dataclass(frozen=True, slots=True)
class Removed:
    """A component that is gone, with its data of all versions."""

    removed: str


@dataclass(frozen=True, slots=True)
class AppFile:
    """A file of a front end."""

    content_type: str
    data: bytes


class ComponentCalls(Protocol):
    """All asynchronous; each raises InosErrors, and does all of what it says or nothing."""

    async def install(self, package: AsyncIterator[bytes], granted: Sequence[str]) -> ComponentReport:
        """Install a package (a .zip or .tar.gz), or another version of what is installed; one that runs is started
        again. BadInput for what is no sound package, Conflict for another content of a version that is there."""

    async def install_from(self, target: str, granted: Sequence[str]) -> ComponentReport:
        """As `install`, from an object that holds the package."""

    async def list(self) -> tuple[ComponentReport, ...]:
        """All installed components, by id."""

    async def get(self, component_id: str) -> ComponentReport:
        """One of them. NotFound."""

    async def start(self, component_id: str) -> ComponentReport:
        """Run it, now and whenever the node starts; answers when it runs or has failed, after some seconds at most."""

    async def stop(self, component_id: str) -> ComponentReport:
        """Have it stopped, now and when the node starts; answers when it has."""

    async def restart(self, component_id: str) -> ComponentReport:
        """Stop it where it runs, and start it."""

    async def log(self, component_id: str, after: str, limit: int) -> LogPart:
        """What it said: behind `after`, else the last `limit` bytes of it."""

    async def remove(self, component_id: str) -> Removed:
        """Stop it and remove its code, its log and its data of all versions."""

    async def applications(self) -> tuple[ApplicationReport, ...]:
        """All applications, by id."""

    async def start_application(self, application_id: str) -> tuple[ComponentReport, ...]:
        """Start all components of an application, and count a launch. NotFound."""

    async def stop_application(self, application_id: str) -> tuple[ComponentReport, ...]:
        """Stop them all."""

    async def app_file(self, component_id: str, path: str) -> AppFile:
        """A file of a front end that is started; "" is where it begins. NotFound."""
