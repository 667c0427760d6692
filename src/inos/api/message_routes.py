"""The calls under /v1/messages: parse, ask the service, answer. Hot calls are in message_sync.py and its neighbours."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from inos.api.callers import caller_of
from inos.api.service import Messaging
from inos.core.messages.calls import MessagesReport
from inos.core.messages.ids import parse_id
from inos.core.messages.marks import check_mark_name
from inos.core.messages.message import Draft
from inos.core.messages.query import MAX_PAGE

MAX_DRAFTS: Final = 100  # within the megabyte of a JSON body


class MarksBody(BaseModel):
    """A mark to set (`on`) or take away, of several messages. `by` is who does it, for those who may choose."""

    ids: list[Annotated[str, Field(max_length=36)]] = Field(min_length=1, max_length=MAX_PAGE)
    mark: str = Field(max_length=32)
    on: bool = True
    by: str = Field(default="", max_length=200)


class DraftsBody(BaseModel):
    """Messages to write."""

    messages: list[dict[str, Any]] = Field(min_length=1, max_length=MAX_DRAFTS)


class HubBody(BaseModel):
    """What to do about the hub."""

    take: Literal[True]


class Unread(BaseModel):
    """How many messages nobody has marked."""

    unread: int


def message_routes(service: Messaging) -> APIRouter:
    """Every JSON call on messages."""
    router = APIRouter(prefix="/v1/messages", tags=["messages"])

    @router.post("", summary="Write messages for agents; the node brings them to the hub")
    async def post_messages(request: Request, body: DraftsBody) -> dict[str, Any]:
        drafts = [Draft.from_json(each) for each in body.messages]
        for draft in drafts:
            caller_of(request.scope).may_write_as(draft.agent)
        written = await service.messages.post(drafts)
        return {"messages": [each.to_json() for each in written]}

    @router.post("/marks", summary="Set a mark of messages, or take it away")
    async def mark_messages(request: Request, body: MarksBody) -> dict[str, Any]:
        ids, by = [parse_id(each) for each in body.ids], caller_of(request.scope).name(body.by)
        return (await service.messages.mark(ids, check_mark_name(body.mark), body.on, by)).to_json()

    @router.post("/{id}/execute", summary="Run the follow-up task of a message")
    async def execute_message(request: Request, id: str) -> dict[str, Any]:
        done = await service.messages.execute(parse_id(id), caller_of(request.scope).name())
        return {**done.messages[0].to_json(), "covered": done.covered}

    @router.get("/unread", summary="How many messages nobody has marked")
    async def count_unread() -> Unread:
        return Unread(unread=await service.messages.unread())

    @router.get("/report", summary="The hub, and this node's caches and outboxes")
    async def messages_report() -> MessagesReport:
        return await service.messages.report()

    @router.post("/hub", summary="Make this node the hub")
    async def take_hub(body: HubBody) -> MessagesReport:
        del body
        return await service.messages.take_hub()

    return router
