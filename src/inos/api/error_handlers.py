"""The handlers that turn the exceptions of FastAPI's routes into the errors of `inos.api.errors`."""

from __future__ import annotations

import json
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from inos.api.errors import error_dict, error_headers, unforeseen
from inos.core.env import Env
from inos.core.errors import BadInput, InosError, NotFound


def handle_errors(app: FastAPI, env: Env) -> None:
    """Install the handlers that turn exceptions of routes into such responses."""

    async def on_inos_error(_request: Request, error: Exception) -> Response:
        assert isinstance(error, InosError)
        return _response(error)

    async def on_bad_request(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "body"
        return _response(BadInput(f"{where}: {first['msg']}", hint="see /docs for what this call takes"))

    async def on_http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, InosError):  # FastAPI wraps what reading a body raises
            return _response(error.__cause__)
        kind = NotFound if error.status_code == HTTPStatus.NOT_FOUND else BadInput
        wrong = f"{request.method} {request.url.path[:200]}: {str(error.detail).lower()}"
        return _response(kind(wrong, hint="see /docs for the calls there are"), error.status_code)

    async def on_unforeseen(request: Request, error: Exception) -> Response:
        return _response(unforeseen(error, request.method, request.url.path, env))

    app.add_exception_handler(InosError, on_inos_error)
    app.add_exception_handler(RequestValidationError, on_bad_request)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(Exception, on_unforeseen)


def _response(error: InosError, status: int | None = None) -> Response:
    body = json.dumps(error_dict(error))
    return Response(body, status or error.http_status, headers=error_headers(error), media_type="application/json")
