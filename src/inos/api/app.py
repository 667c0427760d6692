"""The ASGI application: routes on one NodeService behind the gate. Uses anyio only, so any ASGI server can run it.

What it imports is what every node needs; the calls that FastAPI answers are in whole.py, imported by the first of them.
"""

from __future__ import annotations

from starlette.types import ASGIApp

from inos.api.component_content import AppFiles, InstallComponent
from inos.api.content import GetContent, PutBatch, PutObject
from inos.api.gate import Gate
from inos.api.handed import StoreFile, WriteFile
from inos.api.inbox_page import INBOX_PATH, InboxFiles
from inos.api.message_events import MessageEvents
from inos.api.message_files import SyncFiles
from inos.api.message_reading import GetMessage, QueryMessages
from inos.api.message_sync import SyncMessage, SyncMessages
from inos.api.plain import Plain, Raw
from inos.api.plain_calls import plain_calls
from inos.api.service import NodeService
from inos.api.sessions import Sessions
from inos.api.timing import Timed, Timings
from inos.core.components import APPS_PATH
from inos.core.env import Env
from inos.core.messages.shares import DEFAULT_RATE, Rates


def make_app(
    service: NodeService, *, env: Env, token: str, host: str, version: str, agent_rate: float = DEFAULT_RATE
) -> ASGIApp:
    """The API of `service`. Every data call needs `token`; `host` is the name or address it is served on; `agent_rate`
    is how many messages a second are taken from one agent."""
    timings, sessions = Timings(), Sessions(env)
    raw = [*_objects(service, env), *_messages(service, env, Rates(agent_rate, env.monotonic_s))]

    def whole() -> ASGIApp:
        from inos.api.whole import make_whole

        return make_whole(service, raw, sessions, timings, env=env, version=version)

    plain = Plain(raw, plain_calls(service), whole, env)
    return Gate(Timed(plain, timings, env), token=token, host=host, tokens=service, sessions=sessions)


def _objects(service: NodeService, env: Env) -> list[Raw]:
    return [
        Raw("/v1/objects", PutObject(service), ("PUT",)),
        Raw("/v1/objects:batch", PutBatch(service), ("POST",)),
        Raw("/v1/objects/content", GetContent(service), ("GET",)),
        Raw("/v1/objects:store", StoreFile(service, env), ("POST",)),
        Raw("/v1/objects:write", WriteFile(service, env), ("POST",)),
        Raw("/v1/components", InstallComponent(service), ("PUT",)),
        Raw(APPS_PATH + "{path:path}", AppFiles(service), ("GET",)),
    ]


def _messages(service: NodeService, env: Env, rates: Rates) -> list[Raw]:
    return [
        Raw("/sync/message", SyncMessage(service, rates), ("POST",)),
        Raw("/sync/messages", SyncMessages(service, env, rates), ("POST",)),
        Raw("/sync/files", SyncFiles(service, env), ("POST",)),
        Raw("/query/messages", QueryMessages(service), ("GET",)),
        Raw("/query/messages/{id}", GetMessage(service), ("GET",)),
        Raw(INBOX_PATH, InboxFiles(env), ("GET",)),
        Raw(INBOX_PATH + "/assets/{name}", InboxFiles(env), ("GET",)),
        Raw("/events", MessageEvents(service), ("GET",)),
    ]
