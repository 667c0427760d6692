"""The way to the hub over HTTP: through the node on this machine, or straight to an address that was configured.

The node is found by the `api.json` of its data root, which is read again whenever nobody answered or the token was
refused: the node may have started anew. What is answered without being an error of ours says nothing of the messages,
so it counts as no answer.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from inos.client.calls import Calls
from inos.client.http import ConnectionLost, HttpClient, Request, Unreachable, lost
from inos.client.messages import Messages
from inos.core.endpoint import Endpoint, no_node, read_endpoint
from inos.core.errors import BadFrame, BadInput, InosError, Unauthorised, Unavailable
from inos.core.messages.query import MessagePage, MessageQuery, StoredMessage
from inos.core.messages.sync import Ack
from inos.store.private_files import read_private

SYNC_PATH: Final = "/sync/messages"
_MAX_TOKEN_BYTES: Final = 4096
_TOKEN: Final = re.compile(rb"[!-~]+")
_LEVEL: Final = 1
# Below this a body fits into one packet as it is.
_PACK_FROM_BYTES: Final = 1400


class HttpDoor:
    """One way to the hub. Runs on any event loop; close with `aclose`."""

    def __init__(self, endpoint: Callable[[], Endpoint], home: Path | None) -> None:
        """`endpoint` is asked before each connecting; `home` is the data root it comes from, if it does."""
        self._endpoint = endpoint
        self._home = home
        self._http: HttpClient | None = None
        self._url = ""

    @classmethod
    def to_node(cls, home: Path) -> HttpDoor:
        """Through the node of a data root."""
        return cls(lambda: read_endpoint(home), home)

    @classmethod
    def to_url(cls, url: str, token_file: Path) -> HttpDoor:
        """To an address, with the token in a file of mode 0600. Raises BadInput, NotFound, Refused."""
        _check_address(url)  # told at once, not when the first message goes
        read_token(token_file)
        return cls(lambda: Endpoint(url.rstrip("/"), read_token(token_file)), None)

    async def send(self, batch: bytes, count: int) -> Ack:
        """As HubDoor has it."""
        del count
        headers = {"content-type": "application/json"}
        if len(batch) >= _PACK_FROM_BYTES:
            headers["content-encoding"] = "gzip"
            batch = gzip.compress(batch, _LEVEL, mtime=0)
        async with self._answered() as http, http.request(Request("POST", SYNC_PATH, None, headers, batch)) as answer:
            try:
                return Ack.from_json(await answer.json())
            except BadInput as error:
                raise Unavailable(f"what answers at {self._url} is no hub: {error.message}") from None

    async def get(self, message_id: str) -> StoredMessage:
        """A message of the hub. NotFound."""
        async with self._answered() as http:
            return await Messages(Calls(http, self._url, self._home)).get(message_id)

    async def query(self, query: MessageQuery) -> MessagePage:
        """A page of the hub's messages."""
        async with self._answered() as http:
            return await Messages(Calls(http, self._url, self._home)).page(query)

    @asynccontextmanager
    async def _answered(self) -> AsyncGenerator[HttpClient, None]:
        http = await self._connected()
        try:
            yield http
        except Unreachable:
            await self.aclose()
            raise self._nobody() from None
        except ConnectionLost as error:
            await self.aclose()
            raise lost(error) from None
        except Unauthorised:
            await self.aclose()
            raise
        except BadFrame as error:  # its answer, not our batch
            raise Unavailable(f"what answers at {self._url} is no hub: {error.message}") from None

    async def _connected(self) -> HttpClient:
        if self._http is None:
            endpoint = self._endpoint()
            self._url = endpoint.url
            self._http = HttpClient(endpoint, self._home)
        return self._http

    def _nobody(self) -> InosError:
        if self._home is not None:
            return no_node(self._home)
        return Unavailable(f"nothing answers at {self._url}", hint="check the address, and that the hub runs")

    async def aclose(self) -> None:
        """Close the kept connections."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()


def _check_address(url: str) -> None:
    try:
        HttpClient(Endpoint(url, ""))
        (urlsplit(url).hostname or "").encode("idna")
    except ValueError:
        raise BadInput(f"not an address: {url[:200]!r}", hint="it looks like http://10.0.0.42:4711") from None


def read_token(path: Path) -> str:
    """The token in a file. Raises NotFound, Refused when others may read it, BadInput when it holds none."""
    text = read_private(path, _MAX_TOKEN_BYTES, secret=True).strip()
    if not _TOKEN.fullmatch(text):
        raise BadInput(f"{path} holds no token", hint="write the token into it, one line, and nothing else")
    return text.decode()
