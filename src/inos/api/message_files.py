"""Files that go with messages: POST /sync/files, a form that is streamed straight into the mesh.

Fields first (`agent`, `task`), then files; each becomes an object under `/messages/AGENT/ID/FILENAME`, and the answer
has the attachments to put into a message. All of them or none: when the client goes away or one fails, the names of
those before are taken away again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from typing import Any, Final, Protocol

import anyio
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from inos.api.callers import caller_of
from inos.api.content import refuse_and_linger, request_body, send_json
from inos.api.gate import limit_body
from inos.api.multipart import Event, Form, PartBegin, PartData, PartEnd, parse_boundary
from inos.api.service import Keeping, Storing
from inos.core.env import Env
from inos.core.errors import BadInput, InosError, TooLarge
from inos.core.messages.access import Caller
from inos.core.messages.ids import TAIL_BYTES, next_id
from inos.core.messages.message import MAX_ATTACHMENTS, Attachment, check_agent
from inos.core.messages.shares import Places
from inos.core.reports import PutOptions, PutReport
from inos.objects.reference import ObjectName

# One request; a larger file goes through PUT /v1/objects, which has no limit.
MAX_FORM_BYTES: Final = 64 << 30
MAX_FIELD_BYTES: Final = 1_000  # 200 characters of any script
# Each has some megabytes in memory, and lasts for as long as its sender likes: so many for all agents, so many for the
# owner.
MAX_UPLOADS: Final = 16
_FORGET_S: Final = 5.0  # to take names away again


class _Files(Storing, Keeping, Protocol):
    """What is needed of the service."""


class SyncFiles:
    """POST /sync/files"""

    def __init__(self, service: _Files, env: Env) -> None:
        self._service = service
        self._env = env
        self._places = Places(MAX_UPLOADS, "uploads are under way", hint="wait for one to end")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stored: list[str] = []
        try:
            boundary = parse_boundary(Headers(scope=scope).get("content-type", ""))
            parts = _Parts(request_body(limit_body(receive, MAX_FORM_BYTES)), Form(boundary))
            with self._places.held(caller_of(scope).agent):
                async with aclosing(parts.body):
                    answer = await self._store(parts, caller_of(scope), stored)
        except InosError as error:
            await self._forget(stored)
            await refuse_and_linger(receive, send, error)
            return
        except BaseException:
            await self._forget(stored)
            raise
        await send_json(send, answer)

    async def _store(self, parts: _Parts, caller: Caller, stored: list[str]) -> dict[str, Any]:
        fields: dict[str, str] = {}
        attachments: list[Attachment] = []
        folder = ""
        while (begin := await parts.next_part()) is not None:
            if begin.filename is None:
                if attachments:
                    raise BadInput("a field comes behind a file", hint="send agent and task first")
                fields[_field(begin, fields)] = await parts.text()
                continue
            if len(attachments) == MAX_ATTACHMENTS:
                raise TooLarge(f"a message has at most {MAX_ATTACHMENTS} attachments")
            folder = folder or self._folder(fields, caller)
            attachments.append(await self._put(parts, begin, folder, stored))
        if not attachments:
            raise BadInput("the form has no file", hint="send one as a form does: curl -F file=@NAME")
        return {"status": "stored", **fields, "attachments": [each.to_json() for each in attachments]}

    def _folder(self, fields: dict[str, str], caller: Caller) -> str:
        agent = check_agent(fields.setdefault("agent", caller.agent))
        caller.may_write_as(agent)
        made = next_id(int(self._env.now_s() * 1000), self._env.token_bytes(TAIL_BYTES), None)
        return f"/messages/{agent}/{made}"

    async def _put(self, parts: _Parts, begin: PartBegin, folder: str, stored: list[str]) -> Attachment:
        filename = _last_part(begin.filename or "")
        name = ObjectName.parse(f"{folder}/{filename}")
        if name in stored:
            raise BadInput(f"two files are called {filename[:80]!r}")
        stored.append(name)  # also when it fails: then it may be there
        async with aclosing(parts.data()) as data:
            report: PutReport = await self._service.put(data, PutOptions(name=name))
        return Attachment(filename, report.ref, report.size, begin.media_type[:127] or "application/octet-stream")

    async def _forget(self, names: list[str]) -> None:
        with anyio.move_on_after(_FORGET_S, shield=True):
            for name in names:
                with suppress(InosError):
                    await self._service.remove(name)


class _Parts:
    """The parts of a form, pulled from its body as they are asked for."""

    def __init__(self, body: AsyncGenerator[bytes, None], form: Form) -> None:
        self.body = body
        self._form = form
        self._events: Iterator[Event] = iter(())

    async def next_part(self) -> PartBegin | None:
        """The next part; None at the end."""
        event = await self._next()
        if event is None and not self._form.ended:
            raise BadInput("the form is cut off: its closing boundary is missing")
        if event is not None and not isinstance(event, PartBegin):
            raise BadInput("the form is not in order")
        return event

    async def text(self) -> str:
        """The content of a field."""
        value = b""
        async with aclosing(self.data()) as data:
            async for part in data:
                value += part
                if len(value) > MAX_FIELD_BYTES:
                    raise TooLarge(f"a field of the form has at most {MAX_FIELD_BYTES} bytes")
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise BadInput("a field of the form is not UTF-8") from None

    async def data(self) -> AsyncGenerator[bytes, None]:
        """The content of the part that began."""
        while not isinstance(event := await self._next(), PartEnd):
            if not isinstance(event, PartData):
                raise BadInput("the form is cut off in the middle of a part")
            yield event.data

    async def _next(self) -> Event | None:
        while (event := next(self._events, None)) is None:
            piece = await anext(self.body, None)
            if piece is None:
                return None
            self._events = iter(self._form.feed(piece))
        return event


def _field(begin: PartBegin, known: dict[str, str]) -> str:
    if begin.name not in ("agent", "task") or begin.name in known:
        raise BadInput(f"a form with files has no field {begin.name[:80]!r} (more)", hint="it has: agent, task, files")
    return begin.name


def _last_part(filename: str) -> str:
    """The name alone: some send the path it has on their side."""
    return filename.replace("\\", "/").rpartition("/")[2]
