"""The JSON calls under /v1: parse, ask the service, answer its report. Bytes of objects are in content.py."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Final, Generic, Literal, TypeVar

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.types import Receive, Scope, Send

from inos.api.errors import error_dict
from inos.api.metrics import render_metrics
from inos.api.plain_calls import LIFETIME_MAX_S, LIFETIME_S, PAGE_MAX, TEXT_MAX, Reports, prefix_of
from inos.api.service import BackingUp, Keeping, Membership, NodeService, Reading, TreeStoring
from inos.api.streaming import Streamed, send_stream
from inos.api.timing import Timings
from inos.core.errors import InosError
from inos.core.file_times import MAX_MODIFIED_MS
from inos.core.reports import (
    CatalogueItem,
    CataloguePage,
    JoinReport,
    PinReport,
    RemoveReport,
    RevokeReport,
    StatReport,
    TicketReport,
    VerifyPlan,
    to_dict,
)
from inos.objects.reference import ObjectName, parse_sha256

PARTS_MAX: Final = 65_536  # a part of a full dedicated node is some ten chunks then

Target = Annotated[str, Query(min_length=1, max_length=TEXT_MAX, description="A reference, a cid, a name or sha256:…")]
ModifiedMs = Annotated[int, Field(ge=-MAX_MODIFIED_MS, le=MAX_MODIFIED_MS)]


class LinkBody(BaseModel):
    """A symbolic link to record."""

    name: str = Field(max_length=TEXT_MAX)
    target: str = Field(max_length=TEXT_MAX)
    modified_ms: ModifiedMs = 0


class FolderBody(BaseModel):
    """A folder to record."""

    name: str = Field(max_length=TEXT_MAX)
    mode: int = Field(default=0o755, ge=0, le=0o7777)
    modified_ms: ModifiedMs = 0


class InviteBody(BaseModel):
    """What an invitation is good for."""

    single_use: bool = False
    lifetime_s: int = Field(default=LIFETIME_S, ge=1, le=LIFETIME_MAX_S)


class JoinBody(BaseModel):
    """The ticket to use."""

    ticket: str = Field(min_length=1, max_length=TEXT_MAX)


class RevokeBody(BaseModel):
    """The member to shut out, by peer id."""

    peer: str = Field(min_length=1, max_length=128)


class BackupBody(BaseModel):
    """Where to, and whether the chunks go along ("full") or are left to the mesh ("mesh")."""

    place: str = Field(min_length=1, max_length=TEXT_MAX)
    kind: Literal["full", "mesh"] = "full"


class VerifyBody(BaseModel):
    """What to check; null for everything on this node."""

    target: str | None = Field(default=None, max_length=TEXT_MAX)
    part: int = Field(default=1, ge=1, le=PARTS_MAX)
    parts: int = Field(default=1, ge=1, le=PARTS_MAX)
    rate_bytes_s: int = Field(default=0, ge=0, le=1 << 40)


def all_routes(service: NodeService, timings: Timings) -> list[APIRouter]:
    """Every JSON route of the API, on one service."""
    return [
        _objects(service),
        _trees(service),
        _keeping(service),
        _backup(service),
        _membership(service),
        _reporting(service, timings),
    ]


def _objects(service: Reading) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["objects"])

    @router.get("/objects", summary="List names in order")
    async def list_objects(
        prefix: Annotated[str, Query(max_length=TEXT_MAX)] = "",
        after: Annotated[str, Query(max_length=TEXT_MAX)] = "",
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_MAX,
    ) -> CataloguePage:
        return await service.list(prefix_of(prefix), after, limit)

    @router.get("/objects/nameless", summary="List objects that no name stands for")
    async def list_nameless(
        after: Annotated[str, Query(max_length=TEXT_MAX)] = "",
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_MAX,
    ) -> CataloguePage:
        return await service.list_nameless(after, limit)

    @router.get("/objects/find", summary="List names of files by what they hold")
    async def find_objects(
        sha256: Annotated[str, Query(min_length=1, max_length=TEXT_MAX, description="64 hexadecimal digits")],
        after: Annotated[str, Query(max_length=TEXT_MAX)] = "",
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_MAX,
    ) -> CataloguePage:
        return await service.find(parse_sha256(sha256), after, limit)

    @router.get("/objects/stat", summary="What is known of an object, and who holds it")
    async def stat_object(target: Target) -> StatReport:
        return await service.stat(target)

    return router


def _trees(service: TreeStoring) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["objects"])

    @router.post("/links", summary="Record a symbolic link")
    async def put_link(body: LinkBody) -> CatalogueItem:
        return await service.put_link(ObjectName.parse(body.name), body.target, body.modified_ms)

    @router.post("/folders", summary="Record a folder")
    async def put_folder(body: FolderBody) -> CatalogueItem:
        return await service.put_folder(ObjectName.parse(body.name), body.mode, body.modified_ms)

    return router


def _keeping(service: Keeping) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["objects"])

    @router.delete("/objects", summary="Remove a name, a folder or all names of a reference")
    async def remove_object(target: Target) -> RemoveReport:
        return await service.remove(target)

    @router.put("/pins", summary="Pin an object, or a folder's, to this node")
    async def pin_object(target: Target) -> PinReport:
        return await service.pin(target, True)

    @router.delete("/pins", summary="Let go of what is pinned")
    async def unpin_object(target: Target) -> PinReport:
        return await service.pin(target, False)

    @router.get("/pins", summary="List what is pinned to this node")
    async def list_pins(
        after: Annotated[str, Query(max_length=TEXT_MAX)] = "",
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_MAX,
    ) -> CataloguePage:
        return await service.list_pinned(after, limit)

    @router.post("/verify", summary="Re-read and check what is stored; answers one JSON report a line as it goes")
    async def verify(body: VerifyBody) -> Response:
        reports = service.verify(body.target, VerifyPlan(body.part, body.parts, body.rate_bytes_s))
        return _NdJson(await anext(reports), reports)  # the first one here, so that an error of it gets its status

    return router


def _backup(service: BackingUp) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["operation"])

    @router.post("/backup", summary="Back this node up; answers one JSON report a line as it goes")
    async def backup(body: BackupBody) -> Response:
        reports = service.backup(body.place, body.kind)
        return _NdJson(await anext(reports), reports)

    return router


def _membership(service: Membership) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["mesh"])

    @router.post("/invite", summary="Make an invitation ticket")
    async def invite(body: InviteBody) -> TicketReport:
        return await service.invite(body.single_use, body.lifetime_s)

    @router.post("/join", summary="Join the mesh of a ticket")
    async def join(body: JoinBody) -> JoinReport:
        return await service.join(body.ticket.strip())

    @router.post("/revoke", summary="Shut a member out for good")
    async def revoke(body: RevokeBody) -> RevokeReport:
        return await service.revoke(body.peer)

    return router


def _reporting(service: NodeService, timings: Timings) -> APIRouter:
    router, reports = APIRouter(), Reports(service)
    router.get("/v1/status", tags=["mesh"], summary="This node, its mesh and its workers")(reports.status)
    router.get("/v1/peers", tags=["mesh"], summary="Every member as this node sees it")(reports.peers)

    @router.get("/metrics", tags=["operation"], summary="Prometheus metrics", response_class=Response)
    async def metrics(_request: Request) -> Response:
        text = render_metrics(await service.status(), timings.collect())
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    router.get("/health", tags=["operation"], summary="Answers when the node does; needs no token")(reports.health)
    return router


R = TypeVar("R")


class _NdJson(Response, Generic[R]):
    """Reports as one JSON value a line; a failure after the first line is a last line {"error": …}."""

    def __init__(self, first: R, rest: AsyncGenerator[R, None]) -> None:
        super().__init__()
        self._first = first
        self._rest = rest

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._rest), aclosing(self._lines()) as lines:
            answer = Streamed(200, {"content-type": "application/x-ndjson"}, lines)
            await send_stream(answer, receive, send)

    async def _lines(self) -> AsyncGenerator[bytes, None]:
        yield _line(to_dict(self._first))
        try:
            async for report in self._rest:
                yield _line(to_dict(report))
        except InosError as error:
            yield _line(error_dict(error))


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"
