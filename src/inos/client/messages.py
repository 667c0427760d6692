"""`mesh.messages`: the messages of all agents, over the node's API.

    await mesh.messages.post("scout-1", {"text": "found it"}, kind="lead", priority=8)
    async for found in mesh.messages.find(MessageQuery(text="found", state="open")):
        print(found.message.agent, found.snippet)
    await mesh.messages.mark([found.message.id], "acknowledged")

`post` is kept by the node from the moment it returns, and reaches the hub by itself. A program that writes often, or
must not depend on a running node, keeps its own cache: `inos.messages`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final
from urllib.parse import quote

from inos.client.calls import Calls, json_request
from inos.client.http import ConnectionLost, Request, Response, lost
from inos.core.errors import BadFrame, BadInput, Unavailable
from inos.core.messages.access import check_scopes
from inos.core.messages.calls import Marked, MessageEvent, MessagesReport
from inos.core.messages.ids import check_ids, parse_id
from inos.core.messages.marks import MarkName, check_mark_name
from inos.core.messages.message import (
    Attachment,
    Draft,
    Message,
    check_agent,
    check_attachments,
    check_drafts,
    check_text,
    check_whole,
)
from inos.core.messages.query import MessagePage, MessageQuery, StoredMessage, check_query
from inos.core.messages.sync import MAX_SEQ

# A line of an event holds a whole message; one longer than any message is none.
_LINE_MAX: Final = 2 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class TokenReport:
    """A token of an agent. `token` is shown once, when it is made, and empty ever after."""

    token_id: str
    agent: str
    scopes: tuple[str, ...]
    created_at_s: int
    token: str = dataclasses.field(default="", repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class _Tokens:
    tokens: tuple[TokenReport, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class LoginCode:
    """What opens the inbox in a browser once, within a minute."""

    code: str = dataclasses.field(repr=False)
    path: str = "/messages"


@dataclasses.dataclass(frozen=True, slots=True)
class _Unread:
    unread: int


class Messages:
    """Messages of one mesh, through one of its nodes. Every failure is an InosError."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def post(
        self,
        agent: str,
        content: Any,
        *,
        kind: str = "report",
        priority: int = 5,
        task: str = "",
        role: str = "",
        sender: str = "",
        recipient: str = "",
        attachments: Sequence[Attachment] = (),
    ) -> Message:
        """Write a message for `agent`; `content` is any JSON. The node has it on its disk when this returns."""
        files = check_attachments(attachments)
        draft = Draft(agent, content, kind, priority, task, role, sender, recipient, attachments=files)
        return (await self.post_many([draft]))[0]

    async def post_many(self, drafts: Sequence[Draft]) -> list[Message]:
        """Write several, all or none of them."""
        for each in check_drafts(drafts):
            each.check()
        answer = await self._calls.json(
            json_request("POST", "/v1/messages", {"messages": [each.to_json() for each in drafts]})
        )
        return [Message.from_json(each) for each in _listed(answer, "messages")]

    async def page(self, query: MessageQuery) -> MessagePage:
        """One page of what `query` asks for; not `whole` where the hub cannot be reached."""
        params = check_query(query).to_params()
        return MessagePage.from_json(await self._calls.json(Request("GET", "/query/messages", params)))

    async def find(self, query: MessageQuery) -> AsyncGenerator[StoredMessage, None]:
        """All that `query` asks for, page after page. Raises Unavailable where the hub cannot be reached."""
        while True:
            page = await self.page(query)
            if not page.whole:
                raise Unavailable("the hub cannot be reached", hint="`page` gives what the node keeps itself")
            for each in page.messages:
                yield each
            if not page.next:
                return
            query = dataclasses.replace(query, after=page.next)

    async def get(self, message_id: str) -> StoredMessage:
        """One message. NotFound."""
        request = Request("GET", f"/query/messages/{parse_id(message_id)}")
        return StoredMessage.from_json(await self._calls.json(request))

    async def mark(self, ids: Sequence[str], mark: MarkName, *, on: bool = True) -> Marked:
        """Set a mark of messages, or take it away. It is on the hub's disk when this returns; `covered` says whether it
        outlives the hub already."""
        if not isinstance(on, bool):
            raise BadInput("on must be True or False")
        body = {"ids": check_ids(ids), "mark": check_mark_name(mark), "on": on}
        return Marked.from_json(await self._calls.json(json_request("POST", "/v1/messages/marks", body)))

    async def execute(self, message_id: str) -> Marked:
        """Start the follow-up task of a message by the hook that the hub's owner configured; it is marked executed."""
        path = f"/v1/messages/{parse_id(message_id)}/execute"
        answer = await self._calls.json(json_request("POST", path, {}))
        return Marked.from_json({"messages": [answer], "covered": isinstance(answer, dict) and answer.get("covered")})

    async def unread(self) -> int:
        """How many messages nobody has marked."""
        return (await self._calls.get(_Unread, "/v1/messages/unread")).unread

    async def report(self) -> MessagesReport:
        """The hub, and the outboxes of this node."""
        return await self._calls.get(MessagesReport, "/v1/messages/report")

    async def take_hub(self) -> MessagesReport:
        """Make the node the hub, in place of whichever is."""
        return await self._calls.post(MessagesReport, "/v1/messages/hub", {"take": True})

    async def events(self, after_seq: int | None = None) -> AsyncGenerator[MessageEvent, None]:
        """What happens on the hub from now on, or from behind `after_seq` on. Ends when the node or the hub goes away;
        the last event's `seq` is where to go on. Unavailable at once while there is no hub to reach. Whoever leaves
        it early closes it (`contextlib.aclosing`)."""
        headers = {"accept": "text/event-stream"}
        if after_seq is not None:
            headers["last-event-id"] = str(check_whole("after_seq", after_seq, 0, MAX_SEQ))
        try:
            request = Request("GET", "/events", None, headers)
            async with self._calls.response(request) as response, aclosing(_events(response)) as events:
                async for kind, data in events:
                    yield MessageEvent.from_json(kind, data)
        except ConnectionLost as error:
            raise lost(error) from None

    async def make_token(self, agent: str, scopes: Sequence[str]) -> TokenReport:
        """A token with which a program may do what `scopes` name, as that agent. Shown only now."""
        asked = {"agent": check_agent(agent), "scopes": check_scopes(scopes)}
        return await self._calls.post(TokenReport, "/v1/messages/tokens", asked)

    async def tokens(self) -> tuple[TokenReport, ...]:
        """The tokens there are, without what they are."""
        return (await self._calls.get(_Tokens, "/v1/messages/tokens")).tokens

    async def revoke_token(self, token_id: str) -> TokenReport:
        """Make a token worthless."""
        path = f"/v1/messages/tokens/{quote(check_text('token_id', token_id, 1, 64), safe='')}"
        return await self._calls.report(TokenReport, Request("DELETE", path))

    async def login_code(self) -> LoginCode:
        """A code that opens the inbox in a browser."""
        return await self._calls.post(LoginCode, "/v1/messages/login-codes", {})


def _listed(answer: Any, name: str) -> list[Any]:
    found = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(found, list):
        raise BadFrame(f"the node's answer has no {name}")
    return found


async def _events(response: Response) -> AsyncGenerator[tuple[str, Any], None]:
    """Kind and data of server-sent events; comments and what has no data are passed over."""
    kind, data = "message", ""
    async with aclosing(_lines(response)) as lines:
        async for line in lines:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if line == "":
                if data:
                    yield kind, _parsed(data)
                kind, data = "message", ""
            elif name == "event":
                kind = value
            elif name == "data":
                data += value


async def _lines(response: Response) -> AsyncGenerator[str, None]:
    rest = b""
    while (chunk := await response.next_chunk()) is not None:
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > _LINE_MAX:
            raise BadFrame("the node's answer is longer than any it should give")
        for line in whole:
            yield line.decode(errors="replace").removesuffix("\r")


def _parsed(data: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise BadInput("an event of the node is not JSON") from None
