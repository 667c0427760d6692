"""Errors as the API answers them: {"error": {"code", "message", "hint", "retryable"}} with the status of the class.

An error nobody foresaw answers 500 `internal` with an id and nothing else; the log has the id and the traceback.
"""

from __future__ import annotations

import json
import logging
import math
from http import HTTPStatus
from typing import Any

from starlette.types import Send

from inos.core.env import Env
from inos.core.errors import Busy, InosError

log = logging.getLogger(__name__)


def error_dict(error: InosError) -> dict[str, Any]:
    """The JSON value of an error."""
    fields = {"code": error.code, "message": error.message, "hint": error.hint, "retryable": error.retryable}
    return {"error": fields}


def error_headers(error: InosError) -> dict[str, str]:
    """The headers that an error brings, besides those of its body."""
    headers = {"www-authenticate": "Bearer"} if error.http_status == HTTPStatus.UNAUTHORIZED else {}
    if isinstance(error, Busy):
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    return headers


async def send_error(send: Send, error: InosError, *, more_body: bool = False) -> None:
    """An error through a raw ASGI `send`. With `more_body` the response stays open (see content.py, lingering)."""
    body = json.dumps(error_dict(error)).encode()
    headers = error_headers(error) | {"content-length": str(len(body)), "content-type": "application/json"}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": int(error.http_status), "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": more_body})


def unforeseen(error: Exception, method: str, path: str, env: Env) -> InosError:
    """What is answered when a call fails as nobody foresaw. The log has the rest."""
    error_id = env.token_bytes(6).hex()
    log.error("internal error %s in %s %s", error_id, method, path, exc_info=error)
    return InosError(f"internal error {error_id}", hint="the node's log has the details under this id")
