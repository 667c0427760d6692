"""The inbox: a static page without data. What lets it read is in session_routes.py.

    GET, HEAD /messages, /messages/assets/{name}       files of the package, open

The page may run its own scripts and call this node, nothing else; no page may frame it.
"""

from __future__ import annotations

import mimetypes
import re
from pathlib import Path
from typing import Final

from starlette.types import Receive, Scope, Send

from inos.api.streaming import send_start
from inos.core.env import Env
from inos.core.errors import NotFound
from inos.crypto.hashing import blake3_digest

INBOX_PATH: Final = "/messages"
# What any page of the node may use: the element that shows the number of unread messages, and the number.
BADGE_PATH: Final = "/messages/assets/badge.js"
UNREAD_PATH: Final = "/v1/messages/unread"
_FOLDER: Final = Path(__file__).parent / "inbox"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_HASHED: Final = re.compile(r".*[-.][A-Za-z0-9_]{8,}\.[a-z0-9]+")
_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    # Not "same-origin", as the front ends of components have: one that opened this page could then reach into it.
    "cross-origin-opener-policy": "noopener-allow-popups",
    "cross-origin-resource-policy": "same-origin",
}


class InboxFiles:
    """GET and HEAD of the page and its assets."""

    def __init__(self, env: Env) -> None:
        self._env = env

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        name = scope["path_params"].get("name", "")
        data = await self._env.in_thread(_read, name)
        tag = f'"{blake3_digest(data)[:16].hex()}"'
        known = dict(scope["headers"]).get(b"if-none-match", b"").decode("latin-1") == tag
        kind, _ = mimetypes.guess_type(name or "index.html")
        headers = {
            **_HEADERS,
            "content-type": f"{kind or 'application/octet-stream'}; charset=utf-8",
            "cache-control": "max-age=31536000, immutable" if _HASHED.fullmatch(name) else "no-cache",
            "etag": tag,
        }
        if known:
            data = b""
        else:
            headers["content-length"] = str(len(data))
        await send_start(send, 304 if known else 200, headers)
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else data})


def _read(name: str) -> bytes:
    path = _FOLDER / "assets" / name if name else _FOLDER / "index.html"
    if (name and not _NAME.fullmatch(name)) or not path.is_file():
        raise NotFound("the inbox has no such file", hint="open /messages")
    return path.read_bytes()
