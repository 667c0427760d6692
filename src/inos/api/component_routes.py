"""The JSON calls under /v1/components and /v1/applications. Packages and files are in component_content.py."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from inos.api.service import ComponentKeeping
from inos.core.components import MAX_LOG_PART, ApplicationReport, ComponentReport, LogPart, Removed

_TARGET_MAX: Final = 8192
_GRANTS_MAX: Final = 8
_PLACE_MAX: Final = 40
_DEFAULT_LOG: Final = 16 << 10

After = Annotated[str, Query(max_length=_PLACE_MAX, description="The `next` of the part before")]
Limit = Annotated[int, Query(ge=1, le=MAX_LOG_PART)]


class InstallBody(BaseModel):
    """A package that is an object: its reference or name, and what the component is granted."""

    target: str = Field(min_length=1, max_length=_TARGET_MAX)
    grant: list[str] = Field(default=[], max_length=_GRANTS_MAX)


class ComponentList(BaseModel):
    """All of them, by id."""

    components: tuple[ComponentReport, ...]


class ApplicationList(BaseModel):
    """All of them, by id."""

    applications: tuple[ApplicationReport, ...]


def component_routes(service: ComponentKeeping) -> APIRouter:
    """Every other call on components and applications."""
    router = APIRouter(prefix="/v1", tags=["components"])

    @router.get("/components", summary="All installed components and how they are")
    async def list_components() -> ComponentList:
        return ComponentList(components=await service.components.list())

    @router.post("/components", summary="Install a component from an object")
    async def install_component(body: InstallBody) -> ComponentReport:
        return await service.components.install_from(body.target, body.grant)

    @router.get("/components/{component_id}", summary="One component")
    async def get_component(component_id: str) -> ComponentReport:
        return await service.components.get(component_id)

    @router.post("/components/{component_id}/start", summary="Run a component, now and whenever the node starts")
    async def start_component(component_id: str) -> ComponentReport:
        return await service.components.start(component_id)

    @router.post("/components/{component_id}/stop", summary="Stop a component for good")
    async def stop_component(component_id: str) -> ComponentReport:
        return await service.components.stop(component_id)

    @router.post("/components/{component_id}/restart", summary="Stop a component and start it again")
    async def restart_component(component_id: str) -> ComponentReport:
        return await service.components.restart(component_id)

    @router.get("/components/{component_id}/log", summary="What a component said")
    async def component_log(component_id: str, after: After = "", limit: Limit = _DEFAULT_LOG) -> LogPart:
        return await service.components.log(component_id, after, limit)

    @router.delete("/components/{component_id}", summary="Remove a component with its data")
    async def remove_component(component_id: str) -> Removed:
        return await service.components.remove(component_id)

    @router.get("/applications", summary="All applications")
    async def list_applications() -> ApplicationList:
        return ApplicationList(applications=await service.components.applications())

    @router.post("/applications/{application_id}/start", summary="Start all components of an application")
    async def start_application(application_id: str) -> ComponentList:
        return ComponentList(components=await service.components.start_application(application_id))

    @router.post("/applications/{application_id}/stop", summary="Stop all components of an application")
    async def stop_application(application_id: str) -> ComponentList:
        return ComponentList(components=await service.components.stop_application(application_id))

    return router
