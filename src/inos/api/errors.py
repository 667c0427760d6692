"""Errors as the API answers them: {"error": {"code", "message", "hint", "retryable"}} with the status of the class.

An error nobody foresaw answers 500 `internal` with an id and nothing else; the log has the id and the traceback.
"""

from __future__ import annotations

import json
import logging
import math
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Send

from inos.core.env import Env
from inos.core.errors import BadInput, Busy, InosError, NotFound

log = logging.getLogger(__name__)


def error_dict(error: InosError) -> dict[str, Any]:
    """The JSON value of an error."""
    fields = {"code": error.code, "message": error.message, "hint": error.hint, "retryable": error.retryable}
    return {"error": fields}


def error_response(error: InosError, status: int | None = None) -> Response:
    """An error as a whole response."""
    headers = {"www-authenticate": "Bearer"} if error.http_status == HTTPStatus.UNAUTHORIZED else {}
    if isinstance(error, Busy):
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    body = json.dumps(error_dict(error))
    return Response(body, status or error.http_status, headers=headers, media_type="application/json")


async def send_error(send: Send, error: InosError, *, more_body: bool = False) -> None:
    """An error through a raw ASGI `send`. With `more_body` the response stays open (see content.py, lingering)."""
    response = error_response(error)
    await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": more_body})


def handle_errors(app: FastAPI, env: Env) -> None:
    """Install the handlers that turn exceptions of routes into such responses."""

    async def on_inos_error(_request: Request, error: Exception) -> Response:
        assert isinstance(error, InosError)
        return error_response(error)

    async def on_bad_request(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "body"
        return error_response(BadInput(f"{where}: {first['msg']}", hint="see /docs for what this call takes"))

    async def on_http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, InosError):  # FastAPI wraps what reading a body raises
            return error_response(error.__cause__)
        kind = NotFound if error.status_code == HTTPStatus.NOT_FOUND else BadInput
        wrong = f"{request.method} {request.url.path[:200]}: {str(error.detail).lower()}"
        return error_response(kind(wrong, hint="see /docs for the calls there are"), error.status_code)

    async def on_unexpected(request: Request, error: Exception) -> Response:
        error_id = env.token_bytes(6).hex()
        log.error("internal error %s in %s %s", error_id, request.method, request.url.path, exc_info=error)
        return error_response(
            InosError(f"internal error {error_id}", hint="the node's log has the details under this id")
        )

    app.add_exception_handler(InosError, on_inos_error)
    app.add_exception_handler(RequestValidationError, on_bad_request)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(Exception, on_unexpected)
