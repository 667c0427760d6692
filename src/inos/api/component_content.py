"""Packages of components in, files of front ends out, as raw ASGI.

PUT /v1/components?grant= takes a package as its body, streamed. A front end under /apps/ is served to whoever can open
the page, as it is code and no data; its policy keeps it to its own files and the badge of unread messages with its
number, so that it reaches neither the rest of the API nor another network.
"""

from __future__ import annotations

from contextlib import aclosing

from starlette.types import Receive, Scope, Send

from inos.api.content import query_of, refuse_and_linger, request_body, send_json
from inos.api.errors import send_error
from inos.api.gate import limit_body
from inos.api.inbox_page import BADGE_PATH, UNREAD_PATH
from inos.api.service import ComponentKeeping
from inos.core.components import APPS_PATH, MAX_PACKAGE_BYTES, AppFile
from inos.core.errors import InosError
from inos.core.reports import to_dict


class InstallComponent:
    """PUT /v1/components"""

    def __init__(self, service: ComponentKeeping) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            granted = [each for each in query_of(scope).get("grant", "").split(",") if each]
            async with aclosing(request_body(limit_body(receive, MAX_PACKAGE_BYTES))) as body:
                report = await self._service.components.install(body, granted)
        except InosError as error:
            await refuse_and_linger(receive, send, error)
            return
        await send_json(send, to_dict(report))


class AppFiles:
    """GET and HEAD /apps/ID/…"""

    def __init__(self, service: ComponentKeeping) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        component_id, slash, path = scope["path_params"]["path"].partition("/")
        host = dict(scope["headers"])[b"host"].decode("latin-1")
        base = f"{APPS_PATH}{component_id}/"
        try:
            file = await self._service.components.app_file(component_id, path)
        except InosError as error:
            await send_error(send, error)
            return
        if not slash:  # so that what the page names beside itself is found
            await send({"type": "http.response.start", "status": 308, "headers": [(b"location", base.encode())]})
            await send({"type": "http.response.body", "body": b""})
            return
        headers = [(name.encode(), value.encode()) for name, value in _headers(file, f"http://{host}", base).items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else file.data})


def _headers(file: AppFile, origin: str, path: str) -> dict[str, str]:
    base = origin + path
    policy = (
        f"default-src {base}; script-src {base} {origin}{BADGE_PATH}; connect-src {base} {origin}{UNREAD_PATH}; "
        f"style-src {base} 'unsafe-inline'; img-src {base} data: blob:; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors 'none'; object-src 'none'"
    )
    return {
        "content-type": file.content_type,
        "content-length": str(len(file.data)),
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-cache",
    }
