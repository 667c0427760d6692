"""The raw routes of messages in the OpenAPI description, which FastAPI cannot describe by itself."""

from __future__ import annotations

from typing import Any, Final

from inos.core.messages.query import MessageQuery

_JSON: Final = {"application/json": {"schema": {"type": "object"}}}
_WHAT: Final[dict[str, str]] = {
    "agent": "Who wrote it",
    "task": "Its task",
    "role": "The role of who wrote it",
    "kind": "Its kind",
    "recipient": "Who it is for",
    "priority": "The least priority, 0 to 9",
    "since_ms": "Written at that time or later, milliseconds since 1970",
    "until_ms": "Written before that time",
    "state": "unread, read, acknowledged, executed or archived; or open, for those not archived",
    "text": "Words, all of which must occur",
    "order": "newest, oldest, or best (of a search)",
    "after": "The `next` of the page before",
    "limit": "How many, 1 to 500",
}
_NUMBERS: Final = frozenset({"priority", "since_ms", "until_ms", "limit"})


def _parameter(name: str, where: str, what: str, kind: str) -> dict[str, Any]:
    return {"name": name, "in": where, "required": where == "path", "description": what, "schema": {"type": kind}}


def _call(summary: str, name: str, answer: str, **more: Any) -> dict[str, Any]:
    content = more.pop("content", _JSON)
    described = {"200": {"description": answer, "content": content}}
    return {"tags": ["messages"], "summary": summary, "operationId": name, "responses": described, **more}


_QUERY: Final = [
    _parameter(name, "query", _WHAT[name], "integer" if name in _NUMBERS else "string")
    for name in MessageQuery.__slots__
]
_BODY: Final = {"required": True, "content": _JSON}
_STREAM: Final = {"text/event-stream": {"schema": {"type": "string"}}}

MESSAGE_PATHS: Final[dict[str, dict[str, Any]]] = {
    "/sync/message": {
        "post": _call("Store one message on the hub", "sync_message", "It is stored, synced", requestBody=_BODY)
    },
    "/sync/messages": {
        "post": _call("Store a batch of messages on the hub", "sync_messages", "An Ack", requestBody=_BODY)
    },
    "/sync/files": {
        "post": _call(
            "Store files that go with messages; the form is streamed",
            "sync_files",
            "The attachments to put into a message",
            requestBody={"required": True, "content": {"multipart/form-data": {"schema": {"type": "object"}}}},
        )
    },
    "/query/messages": {"get": _call("Find messages, in pages", "query_messages", "A page", parameters=_QUERY)},
    "/query/messages/{id}": {
        "get": _call(
            "One message", "get_message", "It, and its marks", parameters=[_parameter("id", "path", "Its id", "string")]
        )
    },
    "/events": {
        "get": _call(
            "What happens on the hub, as server-sent events",
            "message_events",
            "Events, for as long as somebody reads",
            content=_STREAM,
            parameters=[
                _parameter("after", "query", "Go on behind this seq", "integer"),
                _parameter("Last-Event-ID", "header", "The same, as browsers say it", "string"),
            ],
        )
    },
}
