"""Messages out: raw ASGI, since a page of them is JSON already known to be sound.

GET /query/messages         a page (core/messages/query.py)
GET /query/messages/{id}    one message
"""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from inos.api.content import query_of, send_json
from inos.api.service import Messaging
from inos.core.messages.ids import parse_id
from inos.core.messages.query import MessageQuery


class QueryMessages:
    """GET /query/messages"""

    def __init__(self, service: Messaging) -> None:
        self._service = service

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        page = await self._service.messages.query(MessageQuery.from_params(query_of(scope)))
        await send_json(send, page.to_json())


class GetMessage:
    """GET /query/messages/{id}"""

    def __init__(self, service: Messaging) -> None:
        self._service = service

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        stored = await self._service.messages.get(parse_id(scope["path_params"]["id"]))
        await send_json(send, stored.to_json())
