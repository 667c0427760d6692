"""Rows of components, of the applications that group them, and of the components that run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from inos.core.errors import BadInput
from inos.core.rows import fields as f
from inos.core.rows.fields import JsonObject
from inos.core.rows.row import Order, Row

ComponentType = Literal["frontend", "backend"]
Runtime = Literal["static", "wasm", "python"]
Status = Literal["starting", "running", "stopping", "stopped", "crashed"]
Wanted = Literal["running", "stopped"]
# A hundred components in one application would be a mistake; a page of manifests stays small.
MAX_COMPONENTS: Final = 256


@dataclass(frozen=True)
class Component(Row):
    """One installed component: the version that is used now. `reference` is what it was installed from, None for a
    file of this machine."""

    KIND: ClassVar[str] = "components"
    KEY: ClassVar[str] = "component_id"
    ORDERS: ClassVar[tuple[Order, ...]] = (
        Order("id", ("component_id",)),
        Order("type", ("component_id",), equals="type"),
        Order("installed", ("installed_at_s", "component_id")),
    )

    component_id: str = f.component_id()
    name: str = f.text(1, 200)
    version: str = f.text(1, 64)
    type: ComponentType = f.choice("frontend", "backend")
    runtime: Runtime = f.choice("static", "wasm", "python")
    installed_at_s: int = f.time_s()
    description: str = f.text(default="")
    author: str = f.text(0, 200, default="")
    license: str = f.text(0, 200, default="")
    manifest: JsonObject = f.json_object()
    reference: str | None = f.text(1, 200, optional=True)
    last_used_s: int | None = f.time_s(optional=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.type == "frontend") != (self.runtime == "static"):
            raise BadInput("runtime must be static for a frontend, wasm or python for a backend")


@dataclass(frozen=True)
class Application(Row):
    """Components that belong together under one name. `icon` is a reference."""

    KIND: ClassVar[str] = "applications"
    KEY: ClassVar[str] = "application_id"
    ORDERS: ClassVar[tuple[Order, ...]] = (
        Order("id", ("application_id",)),
        Order("launched", ("last_launched_s", "application_id")),
    )

    application_id: str = f.component_id()
    name: str = f.text(1, 200)
    version: str = f.text(1, 64)
    installed_at_s: int = f.time_s()
    components: tuple[str, ...] = f.component_ids(MAX_COMPONENTS)
    description: str = f.text(default="")
    author: str = f.text(0, 200, default="")
    icon: str | None = f.text(1, 200, optional=True)
    manifest: JsonObject = f.json_object()
    reference: str | None = f.text(1, 200, optional=True)
    last_launched_s: int | None = f.time_s(optional=True)
    launch_count: int = f.whole(default=0)


@dataclass(frozen=True)
class ComponentRun(Row):
    """What the supervisor knows of one component. `wanted` is what its owner asked for, `pid` the process it runs in,
    the node's own where it runs inside it; times are those of the last start and the last heartbeat."""

    KIND: ClassVar[str] = "registry"
    KEY: ClassVar[str] = "component_id"
    ORDERS: ClassVar[tuple[Order, ...]] = (
        Order("id", ("component_id",)),
        Order("status", ("component_id",), equals="status"),
    )
    WRITABLE: ClassVar[bool] = False
    REMOVABLE: ClassVar[bool] = False

    component_id: str = f.component_id()
    version: str = f.text(1, 64)
    wanted: Wanted = f.choice("running", "stopped", default="stopped")
    status: Status = f.choice("starting", "running", "stopping", "stopped", "crashed", default="stopped")
    pid: int | None = f.whole(1, optional=True)
    endpoint: str = f.text(0, 500, default="")
    started_at_s: int | None = f.time_s(optional=True)
    last_heartbeat_s: int | None = f.time_s(optional=True)
    restart_count: int = f.whole(default=0)
    last_error: str = f.text(default="")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.status == "running" and (self.pid is None or self.started_at_s is None):
            raise BadInput("pid and started_at_s must be given for a component that is running")
        if self.status in ("stopped", "crashed") and self.pid is not None:
            raise BadInput(f"pid must be null for a component that is {self.status}")
