"""The FastAPI application: every call of the API, and their description. Imported when one needs it (see plain.py)."""

from __future__ import annotations

from collections.abc import Sequence

import inos.api.lean_fastapi  # noqa: F401 - before what it makes lean

# isort: split
from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from inos.api.component_routes import component_routes
from inos.api.documents import describe, docs_page
from inos.api.error_handlers import handle_errors
from inos.api.key_routes import key_routes
from inos.api.message_routes import message_routes
from inos.api.plain import Raw
from inos.api.routes import all_routes
from inos.api.row_routes import ListRows, row_routes
from inos.api.service import NodeService
from inos.api.session_routes import session_routes
from inos.api.sessions import Sessions
from inos.api.timing import Timings
from inos.api.token_routes import token_routes
from inos.core.env import Env


def make_whole(
    service: NodeService, raw: Sequence[Raw], sessions: Sessions, timings: Timings, *, env: Env, version: str
) -> FastAPI:
    """All calls on `service`, those of `raw` among them."""
    app = FastAPI(
        title="INOS",
        version=version,
        description="The local API of one node.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    handle_errors(app, env)
    _add_documents(app)
    app.router.routes.extend(Route(each.path, each.endpoint, methods=each.methods) for each in raw)
    for router in [
        *all_routes(service, timings),
        row_routes(service),
        key_routes(service),
        component_routes(service),
        message_routes(service),
        token_routes(service),
        session_routes(sessions),
    ]:
        app.include_router(router)
    # Behind its neighbours: a word of the API is nobody's kind.
    app.router.routes.append(Route("/v1/db/{kind}", ListRows(service), methods=["GET"]))
    return app


def _add_documents(app: FastAPI) -> None:
    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return JSONResponse(describe(app))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        policy = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return HTMLResponse(docs_page(describe(app)), headers=policy)
