"""The tools that `inos mcp` offers: each one call of the client library, its errors told as the protocol tells them.

Every call reaches the node anew, so that a node that was started again is found. Bounds: a page of messages, and
MAX_TEXT bytes of a file in one answer; what is longer is read in parts. Local files are touched only below the folder
that the user named.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, ParamSpec, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from inos.client.connect import connect
from inos.core.errors import BadInput, InosError
from inos.core.messages.marks import check_mark_name
from inos.core.messages.message import Attachment
from inos.core.messages.query import MessageQuery, check_state
from inos.core.reports import to_dict

P = ParamSpec("P")
T = TypeVar("T")

MAX_TEXT: Final = 1 << 20
MAX_NAMES: Final = 1000
_ABOUT: Final = (
    "Messages of all agents of this user's machines, and the user's files. post_message tells others what you found or "
    "did; search_messages and query_messages find what others said; acknowledge what you took care of."
)
_LOOKS: Final = ToolAnnotations(read_only_hint=True)
_ADDS: Final = ToolAnnotations(read_only_hint=False, destructive_hint=False)
_REPLACES: Final = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True)

Agent = Annotated[str, Field(description="Only messages of this agent")]
Words = Annotated[str, Field(description="Words, all of which must occur")]
Task = Annotated[str, Field(description="The task it belongs to")]
Kind = Annotated[str, Field(description="A word: report, error, lead, completion, question …")]
Priority = Annotated[int, Field(ge=0, le=9, description="0 to 9, 9 is the most urgent")]
State = Annotated[str, Field(description="unread, read, acknowledged, executed, archived; open: not archived")]
Limit = Annotated[int, Field(ge=1, le=500)]
Name = Annotated[str, Field(description="A name in the user's catalogue, such as /reports/today.md")]


def told(call: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """`call` with INOS's errors as the protocol's: what was wrong, and what to do."""

    @functools.wraps(call)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await call(*args, **kwargs)
        except InosError as error:
            hint = f" ({error.hint})" if error.hint else ""
            raise ToolError(f"{error.code}: {error.message}{hint}") from None

    return run


@dataclass(frozen=True, slots=True)
class Tools:
    """What the tools do, for the node of `home`, as `agent`. `files` is the folder that local files must lie below."""

    home: Path | None
    agent: str
    role: str
    files: Path | None

    @told
    async def post_message(
        self,
        content: Annotated[Any, Field(description="Text, or any JSON")],
        kind: Kind = "report",
        priority: Priority = 5,
        task: Task = "",
        recipient: Annotated[str, Field(description="For whom it is; empty for everybody")] = "",
        attachments: Annotated[list[str] | None, Field(description="Names of stored files that belong to it")] = None,
    ) -> dict[str, Any]:
        """Write a message that every agent and the user can find. It is kept even when the network is away."""
        async with connect(self.home) as mesh:
            attached = []
            for name in attachments or ():
                found = await mesh.stat(name)
                attached.append(Attachment(name.rpartition("/")[2] or name, found.ref, found.size))
            value = {"text": content} if isinstance(content, str) else content
            message = await mesh.messages.post(
                self.agent, value, kind=kind, priority=priority, task=task, role=self.role, recipient=recipient,
                attachments=attached,
            )  # fmt: skip
        return {"id": message.id, "time_ms": message.time_ms}

    @told
    async def query_messages(
        self, agent: Agent = "", task: Task = "", kind: Kind = "", role: str = "", recipient: str = "",
        state: State = "", priority: Priority = 0, since_ms: int = 0, newest_first: bool = True, limit: Limit = 50,
        after: Annotated[str, Field(description="`next` of the page before")] = "",
    ) -> dict[str, Any]:  # fmt: skip
        """Messages in the order in which they came, by agent, task, kind, recipient, urgency, state or time."""
        query = MessageQuery(
            agent=agent, task=task, kind=kind, role=role, recipient=recipient, state=check_state(state), after=after,
            priority=priority, since_ms=since_ms, order="newest" if newest_first else "oldest", limit=limit,
        )  # fmt: skip
        async with connect(self.home) as mesh:
            return (await mesh.messages.page(query)).to_json()

    @told
    async def search_messages(
        self, text: Words, agent: Agent = "", task: Task = "", kind: Kind = "", limit: Limit = 20
    ) -> dict[str, Any]:
        """Find messages by the words in them."""
        query = MessageQuery(text=text, agent=agent, task=task, kind=kind, limit=limit)
        async with connect(self.home) as mesh:
            page = (await mesh.messages.page(query)).to_json()
        for each in page["messages"]:
            each["snippet"] = each.get("snippet", "").replace("\x02", "[").replace("\x03", "]")
        return page

    @told
    async def get_message(self, message_id: str) -> dict[str, Any]:
        """One message, with what was done about it."""
        async with connect(self.home) as mesh:
            return (await mesh.messages.get(message_id)).to_json()

    @told
    async def mark_messages(
        self,
        ids: list[str],
        mark: Annotated[str, Field(description="read, acknowledged, executed or archived")] = "acknowledged",
        on: Annotated[bool, Field(description="false takes the mark away")] = True,
    ) -> dict[str, Any]:
        """Say that messages were read, taken care of (acknowledged), carried out (executed) or put away (archived).
        `covered` is false while the marks are on the hub's disk alone; they follow by themselves."""
        async with connect(self.home) as mesh:
            marked = await mesh.messages.mark(ids, check_mark_name(mark), on=on)
        return {"states": {each.message.id: each.marks.state for each in marked.messages}, "covered": marked.covered}

    @told
    async def unread_count(self) -> dict[str, int]:
        """How many messages nobody has marked."""
        async with connect(self.home) as mesh:
            return {"unread": await mesh.messages.unread()}

    @told
    async def put_file(
        self,
        name: Name,
        text: Annotated[str, Field(description="The content, as text")] = "",
        base64_data: Annotated[str, Field(description="The content, when it is not text")] = "",
        local_path: Annotated[str, Field(description="A local file to store, where that is allowed")] = "",
    ) -> dict[str, Any]:
        """Store a file on the user's machines under a name; an older one of that name is replaced."""
        source: Any = self._local(local_path) if local_path else _decoded(text, base64_data)
        async with connect(self.home) as mesh:
            return to_dict(await mesh.put(source, name=name))

    @told
    async def get_file(
        self,
        name: Name,
        start: Annotated[int, Field(ge=0)] = 0,
        local_path: Annotated[str, Field(description="Write it to this local file, where that is allowed")] = "",
    ) -> dict[str, Any]:
        """Read a stored file, from byte `start` on: text where it is text, else base64. `next` says where to go on."""
        async with connect(self.home) as mesh:
            if local_path:
                written = await mesh.get(name, self._local(local_path))
                return to_dict(written)
            async with mesh.open(name, start, start + MAX_TEXT) as content:
                data = b"".join([chunk async for chunk in content.chunks])
                more = start + len(data) < content.size
                found = {"size": content.size, "start": start, **_shown(data)}
        return found | ({"next": start + len(data)} if more else {})

    @told
    async def list_files(self, prefix: Annotated[str, Field(description="Beginning of names")] = "") -> dict[str, Any]:
        """Names of stored files, in order."""
        items: list[dict[str, Any]] = []
        async with connect(self.home) as mesh:
            async for item in mesh.list(prefix):
                if len(items) == MAX_NAMES:
                    return {"files": items, "more_after": items[-1]["name"]}
                items.append({"name": item.name, "size": item.size, "kind": item.kind})
        return {"files": items}

    def _local(self, path: str) -> Path:
        if self.files is None:
            raise BadInput("local files are not allowed here", hint="start it with: inos mcp --files DIR")
        found = (self.files / path).resolve()
        if not found.is_relative_to(self.files):
            raise BadInput("that path is outside of the folder that was allowed", hint="use a path below it")
        return found


def _decoded(text: str, base64_data: str) -> bytes:
    if text and base64_data:
        raise BadInput("text and base64_data cannot both be given")
    if not base64_data:
        return text.encode(errors="replace")
    try:
        return base64.b64decode(base64_data, validate=True)
    except ValueError:
        raise BadInput("base64_data is not base64") from None


def _shown(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64_data": base64.b64encode(data).decode()}


def make_server(tools: Tools) -> MCPServer[Any]:
    """A server with all tools, still to be run."""
    from inos import __version__

    server: MCPServer[Any] = MCPServer(
        "inos", title="INOS", instructions=_ABOUT, version=__version__, log_level="ERROR"
    )
    offered: list[tuple[Callable[..., Any], ToolAnnotations]] = [
        (tools.post_message, _ADDS),
        (tools.query_messages, _LOOKS),
        (tools.search_messages, _LOOKS),
        (tools.get_message, _LOOKS),
        (tools.mark_messages, _REPLACES),
        (tools.unread_count, _LOOKS),
        (tools.put_file, _REPLACES),
        (tools.get_file, _LOOKS),
        (tools.list_files, _LOOKS),
    ]
    for tool, hints in offered:
        server.tool(annotations=hints)(tool)
    return server
