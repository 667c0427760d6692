"""The calls under /v1/components and /v1/applications, and the files of front ends under /apps/.

PUT /v1/components?grant= takes a package as its body, streamed. A front end is served to whoever can open the page, as
it is code and no data; its policy keeps it to its own files and the badge of unread messages with its number, so that
it reaches neither the rest of the API nor another network.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.types import Receive, Scope, Send

from inos.api.content import query_of, refuse_and_linger, request_body, send_json
from inos.api.errors import send_error
from inos.api.gate import limit_body
from inos.api.inbox_page import BADGE_PATH, UNREAD_PATH
from inos.api.service import ComponentKeeping
from inos.core.components import (
    APPS_PATH,
    MAX_LOG_PART,
    MAX_PACKAGE_BYTES,
    AppFile,
    ApplicationReport,
    ComponentReport,
    LogPart,
    Removed,
)
from inos.core.errors import InosError
from inos.core.reports import to_dict

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


class InstallComponent:
    """PUT /v1/components"""

    def __init__(self, service: ComponentKeeping) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            granted = [each for each in query_of(scope).get("grant", "").split(",") if each]
            async with aclosing(request_body(limit_body(receive, MAX_PACKAGE_BYTES))) as body:
                report = await self._service.components.install(body, granted)
        except InosError as error:
            await refuse_and_linger(receive, send, error)
            return
        await send_json(send, to_dict(report))


class AppFiles:
    """GET and HEAD /apps/ID/…"""

    def __init__(self, service: ComponentKeeping) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        component_id, slash, path = scope["path_params"]["path"].partition("/")
        host = dict(scope["headers"])[b"host"].decode("latin-1")
        base = f"{APPS_PATH}{component_id}/"
        try:
            file = await self._service.components.app_file(component_id, path)
        except InosError as error:
            await send_error(send, error)
            return
        if not slash:  # so that what the page names beside itself is found
            await send({"type": "http.response.start", "status": 308, "headers": [(b"location", base.encode())]})
            await send({"type": "http.response.body", "body": b""})
            return
        headers = [(name.encode(), value.encode()) for name, value in _headers(file, f"http://{host}", base).items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else file.data})


def _headers(file: AppFile, origin: str, path: str) -> dict[str, str]:
    base = origin + path
    policy = (
        f"default-src {base}; script-src {base} {origin}{BADGE_PATH}; connect-src {base} {origin}{UNREAD_PATH}; "
        f"style-src {base} 'unsafe-inline'; img-src {base} data: blob:; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors 'none'; object-src 'none'"
    )
    return {
        "content-type": file.content_type,
        "content-length": str(len(file.data)),
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-cache",
    }


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
