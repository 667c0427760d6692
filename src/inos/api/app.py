"""The ASGI application: routes on one NodeService behind the gate. Uses anyio only, so any ASGI server can run it."""

from __future__ import annotations

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from inos.api.component_routes import AppFiles, InstallComponent, component_routes
from inos.api.content import GetContent, PutBatch, PutObject
from inos.api.documents import describe, docs_page
from inos.api.errors import handle_errors
from inos.api.gate import Gate
from inos.api.handed import StoreFile, WriteFile
from inos.api.inbox_page import INBOX_PATH, InboxFiles, inbox_routes
from inos.api.key_routes import key_routes
from inos.api.message_events import MessageEvents
from inos.api.message_files import SyncFiles
from inos.api.message_reading import GetMessage, QueryMessages
from inos.api.message_routes import message_routes
from inos.api.message_sync import SyncMessage, SyncMessages
from inos.api.routes import all_routes
from inos.api.row_routes import ListRows, row_routes
from inos.api.service import NodeService
from inos.api.sessions import Sessions
from inos.api.timing import Timed, Timings
from inos.api.token_routes import token_routes
from inos.core.components import APPS_PATH
from inos.core.env import Env
from inos.core.messages.shares import DEFAULT_RATE, Rates


def make_app(
    service: NodeService, *, env: Env, token: str, host: str, version: str, agent_rate: float = DEFAULT_RATE
) -> ASGIApp:
    """The API of `service`. Every data call needs `token`; `host` is the name or address it is served on; `agent_rate`
    is how many messages a second are taken from one agent."""
    app = FastAPI(
        title="INOS",
        version=version,
        description="The local API of one node.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    timings = Timings()
    handle_errors(app, env)
    _add_documents(app)
    app.router.routes.append(Route("/v1/objects", PutObject(service), methods=["PUT"]))
    app.router.routes.append(Route("/v1/objects:batch", PutBatch(service), methods=["POST"]))
    app.router.routes.append(Route("/v1/objects/content", GetContent(service), methods=["GET", "HEAD"]))
    app.router.routes.append(Route("/v1/objects:store", StoreFile(service, env), methods=["POST"]))
    app.router.routes.append(Route("/v1/objects:write", WriteFile(service, env), methods=["POST"]))
    app.router.routes.append(Route("/v1/components", InstallComponent(service), methods=["PUT"]))
    app.router.routes.append(Route(APPS_PATH + "{path:path}", AppFiles(service), methods=["GET", "HEAD"]))
    _add_messages(app, service, env, Rates(agent_rate, env.monotonic_s))
    sessions = Sessions(env)
    for router in [
        *all_routes(service, timings),
        row_routes(service),
        key_routes(service),
        component_routes(service),
        message_routes(service),
        token_routes(service),
        inbox_routes(sessions),
    ]:
        app.include_router(router)
    # Behind its neighbours: a word of the API is nobody's kind.
    app.router.routes.append(Route("/v1/db/{kind}", ListRows(service), methods=["GET"]))
    return Gate(Timed(app, timings, env), token=token, host=host, tokens=service, sessions=sessions)


def _add_messages(app: FastAPI, service: NodeService, env: Env, rates: Rates) -> None:
    routes = app.router.routes
    routes.append(Route("/sync/message", SyncMessage(service, rates), methods=["POST"]))
    routes.append(Route("/sync/messages", SyncMessages(service, env, rates), methods=["POST"]))
    routes.append(Route("/sync/files", SyncFiles(service, env), methods=["POST"]))
    routes.append(Route("/query/messages", QueryMessages(service), methods=["GET"]))
    routes.append(Route("/query/messages/{id}", GetMessage(service), methods=["GET"]))
    routes.append(Route(INBOX_PATH, InboxFiles(env), methods=["GET", "HEAD"]))
    routes.append(Route(INBOX_PATH + "/assets/{name}", InboxFiles(env), methods=["GET", "HEAD"]))
    routes.append(Route("/events", MessageEvents(service), methods=["GET"]))


def _add_documents(app: FastAPI) -> None:
    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return JSONResponse(describe(app))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        policy = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return HTMLResponse(docs_page(describe(app)), headers=policy)
