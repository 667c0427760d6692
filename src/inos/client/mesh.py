"""`Mesh`: everything a program asks of a running node.

    async with inos.connect() as mesh:
        stored = await mesh.put("photos")
        async for item in mesh.list("/photos"):
            print(item.name, item.size)
        await mesh.get("/photos", "copy")

Works under asyncio and trio. Every failure is an InosError of the class its code names. Targets are references, cids,
names or `sha256:…`; a report of `put` is a target too.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

from inos.client.calls import Calls, json_request
from inos.client.content import Content, Contents
from inos.client.download import Downloads, GetReport
from inos.client.handover import Handover
from inos.client.http import ConnectionLost, Request, Response, lost
from inos.client.local import file_error, in_thread, make_link, read_blocks
from inos.client.progress import Progress, Unwatched
from inos.client.restore import Restores, place
from inos.client.targets import is_name, name_of
from inos.client.upload import Uploads
from inos.client.walk import FILE, FOLDER, LINK
from inos.core.errors import BadFrame, BadInput, NotFound, from_wire
from inos.core.object_names import check_link_target
from inos.core.reports import (
    BackupReport,
    CatalogueItem,
    CataloguePage,
    JoinReport,
    PeerReport,
    PinReport,
    PutReport,
    RemoveReport,
    RevokeReport,
    StatReport,
    StatusReport,
    TicketReport,
    TreeReport,
    VerifyReport,
    from_dict,
)

if TYPE_CHECKING:
    from inos.client.components import Components
    from inos.client.db import Db
    from inos.client.keys import Keys
    from inos.client.messages import Messages

Source = str | os.PathLike[str] | bytes | BinaryIO | AsyncIterable[bytes]
Target = str | PutReport | TreeReport

R = TypeVar("R")

PAGE: Final = 1000
DAY_S: Final = 24 * 3600


class Mesh:
    """A node, and through it its mesh. Made by `inos.connect`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._contents = Contents(calls)
        self._downloads = Downloads(self._contents, Handover(calls))
        self._uploads = Uploads(calls)

    @property
    def db(self) -> Db:
        """The rows of the node's own database."""
        from inos.client.db import Db  # most commands have no use for the kinds of rows

        return Db(self._calls)

    @property
    def keys(self) -> Keys:
        """Keys of components."""
        from inos.client.keys import Keys

        return Keys(self._calls)

    @property
    def components(self) -> Components:
        """Components of the node."""
        from inos.client.components import Components

        return Components(self._calls)

    @property
    def messages(self) -> Messages:
        """Messages of agents."""
        from inos.client.messages import Messages

        return Messages(self._calls)

    async def put(
        self,
        source: Source,
        *,
        name: str | None = None,
        require: str | int = "",
        size: int | None = None,
        progress: Progress | None = None,
    ) -> PutReport | TreeReport:
        """Store a file or folder (a path), bytes, an open file, or a stream of bytes (`size` if you know it).

        `name` is its name in the catalogue; a path has its own last part as name, bytes and streams none. With
        `require` ("local", "quorum", "replicated" or a number of nodes) less than that is NotEnoughNodes.
        """
        watched = progress or Unwatched()
        query = {key: value for key, value in (("name", name or ""), ("require", str(require))) if value}
        if isinstance(source, str | os.PathLike):
            return await self._put_path(Path(source), query, watched)
        if isinstance(source, bytes | AsyncIterable):
            return await self._uploads.put_stream(source, query=query, size=size, progress=watched)
        async with aclosing(read_blocks(source)) as blocks:
            return await self._uploads.put_stream(blocks, query=query, size=size, progress=watched)

    async def _put_path(self, path: Path, query: dict[str, str], progress: Progress) -> PutReport | TreeReport:
        try:
            mode = (await in_thread(os.stat, path)).st_mode
        except OSError as error:
            raise file_error(path, error) from None
        query.setdefault("name", path.name or (await in_thread(path.resolve)).name)
        if stat.S_ISDIR(mode):
            name = name_of(query["name"])
            return await self._uploads.put_tree(path, name, require=query.get("require", ""), progress=progress)
        if not stat.S_ISREG(mode):
            raise BadInput(f"{path} is not a file or a folder", hint="to store what a program writes: … | inos put -")
        return await self._uploads.put_file(path, query=query, progress=progress)

    async def get(
        self, target: Target, out: str | os.PathLike[str] | None = None, *, progress: Progress | None = None
    ) -> GetReport:
        """Write an object to the file `out`, or the tree of a folder's name to the folder `out` (else: into the current
        directory under its own name). A download that was broken off goes on where it stopped. Of a name that is a file
        or a link as well as a folder the former; with a slash behind it, the latter."""
        text, watched = str(target), progress or Unwatched()
        path = Path(out) if out is not None else _default_out(text)
        if not is_name(text):
            return await self._downloads.get_file(text, path, watched)
        name = name_of(text)
        if text.endswith("/") and (below := [item async for item in self.list(name + "/")]):
            return await self._get_tree(name, below, path, watched)
        try:
            report = await self._downloads.get_file(text, path, watched)
        except (NotFound, BadInput):
            found = await self._below(name)
            if not found or (found[0].name == name and found[0].kind == FILE):
                raise
            return await self._get_items(name, found, path, watched)
        return replace(report, left_out=await self._left_below(name))

    async def _left_below(self, name: str) -> tuple[str, ...]:
        """What is said of the folder when a name is a file or a link as well, which only older releases and two sides
        of a cut could do."""
        if not (await self._page(f"{name}/", "", 1)).items:
            return ()
        return (f"{name}/: a folder of the same name; to get it: inos get {name}/ OUT",)

    async def _below(self, name: str) -> list[CatalogueItem]:
        page = await self._page(name, "", 1)
        exact = [item for item in page.items if item.name == name]
        return exact + [item async for item in self.list(name + "/")]

    async def _get_items(self, name: str, items: list[CatalogueItem], out: Path, progress: Progress) -> GetReport:
        if items[0].name == name and items[0].kind == LINK:
            await in_thread(make_link, out, check_link_target(items[0].target))
            return GetReport(str(out), 0, 0, 0, 1, 0, 0.0, await self._left_below(name))
        return await self._get_tree(name, items, out, progress)

    async def _get_tree(self, name: str, items: list[CatalogueItem], out: Path, progress: Progress) -> GetReport:
        below = [item for item in items if item.name != name or item.kind == FOLDER]
        return await Restores(self._downloads).get_tree(place(name, below), out, progress)

    def open(self, target: Target, start: int = 0, end: int | None = None) -> AbstractAsyncContextManager[Content]:
        """An object to read: `async with mesh.open(ref) as content`, then `content.size`, `content.chunks`."""
        return self._contents.open(str(target), start, end)

    async def stream(self, target: Target, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes [start, end) of an object."""
        async with self.open(target, start, end) as content:
            async for chunk in content.chunks:
                yield chunk

    async def list(self, prefix: str = "") -> AsyncGenerator[CatalogueItem, None]:
        """Names that start with `prefix`, in order."""
        async for item in self._items(lambda after: self._page(prefix, after, PAGE)):
            yield item

    async def list_nameless(self) -> AsyncGenerator[CatalogueItem, None]:
        """Objects that no name stands for, by cid: put without one, left by a put that fell short of what it required
        or was cut off, or being put now."""
        query = {"limit": str(PAGE)}
        async for item in self._items(
            lambda after: self._calls.get(CataloguePage, "/v1/objects/nameless", query | {"after": after})
        ):
            yield item

    async def find(self, sha256: str) -> AsyncGenerator[CatalogueItem, None]:
        """Names of files whose whole content has this SHA-256 (64 hexadecimal digits), in order; may be none. What has
        no name is not found. `sha256:` and the digits are a target as well: get, stat, pin, remove."""
        query = {"sha256": sha256, "limit": str(PAGE)}
        async for item in self._items(
            lambda after: self._calls.get(CataloguePage, "/v1/objects/find", query | {"after": after})
        ):
            yield item

    async def _items(
        self, page_after: Callable[[str], Awaitable[CataloguePage]]
    ) -> AsyncGenerator[CatalogueItem, None]:
        after = ""
        while True:
            page = await page_after(after)
            for item in page.items:
                yield item
            if not page.next:
                return
            after = page.next

    async def _page(self, prefix: str, after: str, limit: int) -> CataloguePage:
        query = {"prefix": prefix, "after": after, "limit": str(limit)}
        return await self._calls.get(CataloguePage, "/v1/objects", query)

    async def stat(self, target: Target) -> StatReport:
        """What is known of an object, and who holds it now."""
        return await self._calls.get(StatReport, "/v1/objects/stat", {"target": str(target)})

    async def remove(self, target: Target) -> RemoveReport:
        """Remove a name, a folder's tree, or every name of a reference."""
        return await self._calls.report(RemoveReport, Request("DELETE", "/v1/objects", {"target": str(target)}))

    async def pin(self, target: Target) -> PinReport:
        """Keep all of an object, or of everything in a folder, on the node, whatever its quota says."""
        return await self._calls.report(PinReport, Request("PUT", "/v1/pins", {"target": str(target)}))

    async def unpin(self, target: Target) -> PinReport:
        """Let go of what `pin` kept."""
        return await self._calls.report(PinReport, Request("DELETE", "/v1/pins", {"target": str(target)}))

    async def list_pinned(self) -> AsyncGenerator[CatalogueItem, None]:
        """Objects pinned to the node, by cid."""
        query = {"limit": str(PAGE)}
        async for item in self._items(
            lambda after: self._calls.get(CataloguePage, "/v1/pins", query | {"after": after})
        ):
            yield item

    async def verify(
        self, target: Target | None = None, *, part: int = 1, parts: int = 1, rate_bytes_s: int = 0
    ) -> AsyncGenerator[VerifyReport, None]:
        """Have the node check what it holds, or part `part` of `parts` of it, at most so fast; or every piece of one
        object. The last report is `finished`."""
        text = None if target is None else str(target)
        body = {"target": text, "part": part, "parts": parts, "rate_bytes_s": rate_bytes_s}
        try:
            async with (
                self._calls.response(json_request("POST", "/v1/verify", body)) as response,
                aclosing(_lines(response)) as lines,
            ):
                async for line in lines:
                    yield _report_in(VerifyReport, line)
        except ConnectionLost as error:
            raise lost(error) from None

    async def backup(self, place: str, *, kind: str = "full") -> AsyncGenerator[BackupReport, None]:
        """Have the node back itself up to a folder (an absolute path) or a URL; the last report is `finished`. With
        `kind` "mesh" the chunks are left out, because the mesh holds them."""
        request = json_request("POST", "/v1/backup", {"place": place, "kind": kind})
        try:
            async with self._calls.response(request) as response, aclosing(_lines(response)) as lines:
                async for line in lines:
                    yield _report_in(BackupReport, line)
        except ConnectionLost as error:
            raise lost(error) from None

    async def status(self) -> StatusReport:
        """The node, its mesh and its workers."""
        return await self._calls.get(StatusReport, "/v1/status")

    async def peers(self) -> tuple[PeerReport, ...]:
        """Every member as the node sees it."""
        value = await self._calls.json(Request("GET", "/v1/peers"))
        if not isinstance(value, list):
            raise BadFrame("the node's answer is not a list of members")
        return tuple(from_dict(PeerReport, item) for item in value)

    async def invite(self, *, single_use: bool = False, lifetime_s: int = DAY_S) -> TicketReport:
        """A ticket with which other nodes may join."""
        return await self._calls.post(TicketReport, "/v1/invite", {"single_use": single_use, "lifetime_s": lifetime_s})

    async def join(self, ticket: str) -> JoinReport:
        """Make the node a member of the ticket's mesh."""
        return await self._calls.post(JoinReport, "/v1/join", {"ticket": ticket})

    async def revoke(self, peer: str) -> RevokeReport:
        """Shut a member out for good."""
        return await self._calls.post(RevokeReport, "/v1/revoke", {"peer": peer})


def _default_out(target: str) -> Path:
    if not is_name(target):
        raise BadInput("where should it go?", hint="name the file to write: -o FILE")
    return Path(name_of(target).rpartition("/")[2])


async def _lines(response: Response) -> AsyncGenerator[bytes, None]:
    rest = b""
    while (chunk := await response.next_chunk()) is not None:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line


def _report_in(kind: type[R], line: bytes) -> R:
    try:
        value = json.loads(line)
    except ValueError:
        raise BadFrame("a line of the node's answer is not JSON") from None
    if isinstance(value, dict) and isinstance(fields := value.get("error"), dict):
        raise from_wire(str(fields.get("code")), str(fields.get("message")), str(fields.get("hint", "")))
    return from_dict(kind, value)
