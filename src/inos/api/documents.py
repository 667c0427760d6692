"""The OpenAPI description and the page at /docs.

The page is made here, without scripts and without anything from another host: a page on the node's own origin must not
run code that someone else serves.
"""

from __future__ import annotations

import html
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from inos.api.errors import error_dict
from inos.api.message_documents import MESSAGE_PATHS
from inos.core.errors import NotFound
from inos.core.reports import PutReport

_BYTES: Final = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_JSON: Final = {"application/json": {"schema": {"type": "object"}}}


def _query(name: str, what: str, *, kind: str = "string", required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "description": what, "schema": {"type": kind}}


_REQUIRE: Final = _query("require", "'', local, quorum, replicated or a number of nodes; less than that fails")
_TARGET: Final = _query("target", "A reference, a cid or a name", required=True)
_NAME: Final = _query("name", "Name in the catalogue; none stores the object under its reference only")
_MODE: Final = _query("mode", "Permission bits, decimal", kind="integer")
_MODIFIED: Final = _query("modified_ms", "Milliseconds since 1970", kind="integer")
_SIZE: Final = _query("size", "Bytes to store of the file", kind="integer", required=True)
_START: Final = _query("start", "First byte to write; goes to the same offset", kind="integer")
_RANGE: Final = {"name": "Range", "in": "header", "required": False, "schema": {"type": "string"}}

_ROWS: Final = [
    {"name": "kind", "in": "path", "required": True, "schema": {"type": "string"}},
    _query("where", "A field; only rows where it is `equals`"),
    _query("equals", "Its value, as text"),
    _query("by", "The name of an order of this kind"),
    _query("descending", "The other way round", kind="boolean"),
    _query("after", "The `next` of the page before"),
    _query("limit", "Rows at most, 1 to 1000", kind="integer"),
]

# The raw routes of content.py and row_routes.py, which FastAPI cannot describe by itself.
CONTENT_PATHS: Final[dict[str, dict[str, Any]]] = {
    "/v1/objects": {
        "put": {
            "tags": ["objects"],
            "summary": "Store one object; the body is streamed",
            "operationId": "put_object",
            "parameters": [_NAME, _MODE, _MODIFIED, _REQUIRE],
            "requestBody": {"required": True, "content": _BYTES},
            "responses": {"200": {"description": PutReport.__name__, "content": _JSON}},
        }
    },
    "/v1/db/{kind}": {
        "get": {
            "tags": ["rows"],
            "summary": "List rows of a kind in order",
            "operationId": "list_rows",
            "parameters": _ROWS,
            "responses": {"200": {"description": "The rows, and where the next page begins", "content": _JSON}},
        }
    },
    "/v1/objects:batch": {
        "post": {
            "tags": ["objects"],
            "summary": "Store many small files at once; framing in docs/api.md",
            "operationId": "put_batch",
            "parameters": [_REQUIRE],
            "requestBody": {"required": True, "content": _BYTES},
            "responses": {"200": {"description": "The reports, in order", "content": _JSON}},
        }
    },
    "/v1/objects:store": {
        "post": {
            "tags": ["objects"],
            "summary": "Store an open file that comes along on the UNIX socket",
            "operationId": "store_file",
            "parameters": [_SIZE, _NAME, _MODE, _MODIFIED, _REQUIRE],
            "responses": {"200": {"description": PutReport.__name__, "content": _JSON}},
        }
    },
    "/v1/objects:write": {
        "post": {
            "tags": ["objects"],
            "summary": "Write an object into an open file that comes along on the UNIX socket",
            "operationId": "write_file",
            "parameters": [_TARGET, _START],
            "responses": {"200": {"description": "How many bytes were written", "content": _JSON}},
        }
    },
    "/v1/objects/content": {
        method: {
            "tags": ["objects"],
            "summary": summary,
            "operationId": f"{method}_content",
            "parameters": [_TARGET, _RANGE],
            "responses": {
                "200": {"description": "The object", "content": _BYTES},
                "206": {"description": "The range asked for", "content": _BYTES},
                "416": {"description": "The range is outside the object"},
            },
        }
        for method, summary in (
            ("get", "An object's bytes, or one range of them"),
            ("head", "An object's size and tag"),
        )
    },
}


def describe(app: FastAPI) -> dict[str, Any]:
    """The whole OpenAPI document; made once."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for path, methods in (CONTENT_PATHS | MESSAGE_PATHS).items():
            schema["paths"].setdefault(path, {}).update(methods)
        schema.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"token": []}]
        app.openapi_schema = schema
    return app.openapi_schema


def docs_page(schema: dict[str, Any]) -> str:
    """The document for people: one table of calls, with what they take."""
    rows = "".join(
        _row(method, path, call)
        for path, methods in sorted(schema["paths"].items())
        for method, call in methods.items()
    )
    sample = html.escape(str(error_dict(NotFound("no such object", hint="list names with: inos ls"))).replace("'", '"'))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>INOS API</title><style>'
        "body{font:16px/1.5 system-ui;margin:2rem auto;max-width:60rem;padding:0 1rem}"
        "td,th{text-align:left;vertical-align:top;padding:.3rem 1rem .3rem 0}code{white-space:nowrap}</style>"
        f"<h1>INOS API {html.escape(schema['info']['version'])}</h1>"
        "<p>Every call but this page, <code>/openapi.json</code> and <code>/health</code> needs "
        "<code>Authorization: Bearer …</code> with the token of <code>api.json</code> in the data root. "
        'The machine-readable description is <a href="/openapi.json">/openapi.json</a>.</p>'
        f"<p>Errors: <code>{sample}</code></p>"
        f"<table><tr><th>Call<th>Does<th>Takes</tr>{rows}</table></html>"
    )


def _row(method: str, path: str, call: dict[str, Any]) -> str:
    taken = [parameter["name"] for parameter in call.get("parameters", [])]
    content = call.get("requestBody", {}).get("content", {})
    for body in content.values():
        taken.append("body: " + body["schema"].get("$ref", "bytes").rpartition("/")[2])
    cells = (
        f"<code>{method.upper()} {path}</code>",
        html.escape(call.get("summary", "")),
        html.escape(", ".join(taken)),
    )
    return "<tr>" + "".join(f"<td>{cell}" for cell in cells) + "</tr>"
