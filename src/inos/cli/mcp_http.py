"""The tools over HTTP: on loopback unless told otherwise, and only for who has the token.

The token is made anew at each start and lies in `mcp.json` of the data root (0600), beside the address: whoever can
read that file may use the tools. Host and Origin are checked by the protocol's library.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
from pathlib import Path
from typing import Any, Final

import anyio
import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from inos.cli.output import note
from inos.core.env import RealEnv
from inos.core.errors import BadInput, Conflict

FILE: Final = "mcp.json"
PATH: Final = "/mcp"
_TOKEN_BYTES: Final = 32
_LIBRARY: Final = "mcp.server.streamable_http"


class WithToken:
    """ASGI: lets through who shows the token, and the server's own start and stop."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._wanted = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope.get("headers") or ()).get(b"authorization", b"")
        if scope["type"] == "lifespan" or hmac.compare_digest(given, self._wanted):
            await self._app(scope, receive, send)
            return
        body = json.dumps({"error": {"code": "unauthorised", "message": "missing or wrong bearer token"}}).encode()
        headers = [(b"content-type", b"application/json"), (b"www-authenticate", b"Bearer")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def serve_http(server: MCPServer[Any], address: str, root: Path) -> None:
    """Serve until interrupted. Raises BadInput for an address that is none, Conflict for a port in use."""
    host, port = _parsed(address)
    listener = _listening(host, port)
    port = listener.getsockname()[1]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}{PATH}"
    allowed = [f"{name}:{port}" for name in (host, "localhost", "127.0.0.1", "[::1]")]
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        transport_security=TransportSecuritySettings(
            allowed_hosts=allowed, allowed_origins=[f"http://{each}" for each in allowed]
        ),
    )
    token = RealEnv().token_bytes(_TOKEN_BYTES).hex()
    config = uvicorn.Config(WithToken(app, token), log_level="error", lifespan="on", server_header=False)
    logging.getLogger(_LIBRARY).addFilter(_is_worth_telling)
    _write(root / FILE, {"url": url, "token": token})
    note(f"serving {url}; the token is in {root / FILE}")
    try:
        anyio.run(uvicorn.Server(config).serve, [listener])
    finally:
        (root / FILE).unlink(missing_ok=True)


def _is_worth_telling(record: logging.LogRecord) -> bool:
    """The protocol's library tells of a client that left in the middle of a request with all of the stack."""
    return record.exc_info is None or not isinstance(record.exc_info[1], ClientDisconnect)


def _parsed(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise BadInput(f"not an address to listen on: {address!r}", hint="write HOST:PORT, such as 127.0.0.1:8700")
    return host.strip("[]") or "127.0.0.1", int(port)


def _listening(host: str, port: int) -> Any:
    import socket

    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise Conflict(f"cannot listen on {host}:{port}: {error.strerror}", hint="choose another port") from None


def _write(path: Path, values: dict[str, str]) -> None:
    if not path.parent.is_dir():
        raise BadInput(f"there is no data root at {path.parent}", hint="make one with: inos init")
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(values, file)
