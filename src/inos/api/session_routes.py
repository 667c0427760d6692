"""The session of the inbox: how a browser comes to it, and how it ends.

POST   /v1/messages/login-codes             a code that opens one
POST   /messages/session {"code"}           a code for the cookie of a session
DELETE /messages/session                    sign out
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from inos.api.inbox_page import INBOX_PATH
from inos.api.sessions import Sessions, cookie_name


class CodeBody(BaseModel):
    """The code that `inos messages` printed."""

    code: str = Field(min_length=1, max_length=512)


class LoginCode(BaseModel):
    """A code, and the page that takes it behind its `#code=`."""

    code: str
    path: str


def session_routes(sessions: Sessions) -> APIRouter:
    """Signing in and out."""
    router = APIRouter(tags=["messages"])

    @router.post("/v1/messages/login-codes", summary="A code that opens the inbox in a browser once, within a minute")
    async def make_login_code() -> LoginCode:
        return LoginCode(code=sessions.make_code(), path=INBOX_PATH)

    @router.post(
        "/messages/session", summary="Open a session of the inbox with a code; needs no token", status_code=204
    )
    async def enter(body: CodeBody, request: Request, response: Response) -> None:
        session = sessions.enter(body.code)
        response.set_cookie(cookie_name(request.url.port), session, httponly=True, samesite="strict", path="/")

    @router.delete("/messages/session", summary="End the session of the inbox", status_code=204)
    async def leave(request: Request, response: Response) -> None:
        sessions.leave(request.headers.get("cookie", ""))
        response.delete_cookie(cookie_name(request.url.port), httponly=True, samesite="strict", path="/")

    return router
