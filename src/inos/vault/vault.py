"""The vault: objects by reference, name or cid, for one owner on one node. What the API's storing and reading rest on.

A name is written only after its object is stored, so a name always leads to something that was acknowledged; and an
object is removed only when the last of its names is.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

from inos.core.env import Env
from inos.core.errors import BadInput, Corrupt, NotEnoughNodes, NotFound, Refused
from inos.core.ids import Cid, ContentDigest, OwnerId
from inos.core.object_names import check_link_target
from inos.core.reports import (
    BatchItem,
    CatalogueItem,
    CataloguePage,
    PutOptions,
    PutReport,
    RemoveReport,
)
from inos.objects.reference import ObjectName, Reference, parse_target
from inos.replication.layout import Layout
from inos.replication.placement import Placement
from inos.replication.placements import Placements
from inos.vault.catalogue import Entry, Kind, cid_of, reference_of
from inos.vault.get import Getter
from inos.vault.namer import Namer
from inos.vault.names import Catalogue
from inos.vault.outcome import LOCAL, Requirement, Stored
from inos.vault.pieces import Opened
from inos.vault.places import check_apart, meant_to_go
from inos.vault.put import Putter

MAX_PAGE: Final = 1000
# What a node keeps for itself among its owner's objects, such as the messages of agents.
OWN_NAMES: Final = "/.inos/"
_BEHIND_OWN_NAMES: Final = OWN_NAMES + "\U0010ffff"
_PLAIN_MODE: Final = 0o644


@dataclass(frozen=True, slots=True)
class Reading:
    """An object opened for reading a range: `chunks` gives [start, end) of its `size` bytes."""

    opened: Opened
    name: str
    start: int
    end: int
    mode: int
    modified_ms: int
    chunks: AsyncGenerator[bytes, None]


class Vault:
    """Storage for one owner on one node."""

    def __init__(
        self,
        owner: OwnerId,
        putter: Putter,
        getter: Getter,
        catalogue: Catalogue,
        placements: Placements,
        env: Env,
        namer: Namer,
        *,
        freed_after_s: float,
        used: Callable[[Cid], None] = lambda _cid: None,
    ) -> None:
        """`used` hears of every object that is put or read here."""
        self._used = used
        self._owner = owner
        self._putter = putter
        self._getter = getter
        self._catalogue = catalogue
        self._placements = placements
        self._env = env
        self._namer = namer
        self._freed_after_s = freed_after_s

    async def put(self, source: AsyncIterator[bytes], options: PutOptions) -> PutReport:
        """Store what `source` gives under the name in `options`, or nameless."""
        start_s = self._env.monotonic_s()
        name = ObjectName.parse(options.name) if options.name is not None else None
        requirement = Requirement(options.require)
        if name is None:
            stored = await self._putter.put(source, "", options.size, requirement)
            self._used(stored.reference.cid)
            return _put_report(stored, "", True, self._env.monotonic_s() - start_s)
        meant = [Entry(name, Kind.FILE, "", 0, options.mode, options.modified_ms)]
        await self._catalogue.check_places(meant)  # before gigabytes are read; again before the name is written
        with self._namer.noted() as key:
            noting = partial(self._namer.note_names, key, meant)
            stored = await self._putter.put(source, name.parts[-1], options.size, requirement, noting)
            self._used(stored.reference.cid)
            agreed = await self._namer.name([_file_entry(name, stored, options.mode, options.modified_ms)])
        return _put_report(stored, name, agreed, self._env.monotonic_s() - start_s)

    async def put_batch(self, items: Sequence[BatchItem], require: str) -> list[PutReport]:
        """Store many small files, acknowledged together."""
        start_s = self._env.monotonic_s()
        names = [ObjectName.parse(item.name) for item in items]
        check_apart(names)
        contents = [(name.parts[-1], item.data) for name, item in zip(names, items, strict=True)]
        meant = [
            Entry(name, Kind.FILE, "", 0, item.mode, item.modified_ms) for name, item in zip(names, items, strict=True)
        ]
        await self._catalogue.check_places(meant)
        with self._namer.noted() as key:
            noting = partial(self._namer.note_names, key, meant)
            stored = await self._putter.put_small(contents, Requirement(require), noting)
            entries = [
                _file_entry(name, one, item.mode, item.modified_ms)
                for name, one, item in zip(names, stored, items, strict=True)
            ]
            agreed = await self._namer.name(entries)
        seconds = self._env.monotonic_s() - start_s
        return [_put_report(one, name, agreed, seconds) for one, name in zip(stored, names, strict=True)]

    async def revive(self, cid: Cid) -> bool:
        """Take back the removal of an object that still has a name: whoever removed it had not heard of that name.
        Whether the object is to be kept: also when nobody can say, because too few others can be asked."""
        try:
            if not await self._catalogue.still_named(cid):
                return False
        except NotEnoughNodes:
            return True
        try:
            await self._putter.found_again(cid)
        except (NotFound, Corrupt):
            return False  # its manifest is not here: another node of this owner may have it
        return True

    async def put_entry(self, entry: Entry) -> CatalogueItem:
        """Record a folder or a link under its name. Raises BadInput for a target that no link can have."""
        if entry.kind is Kind.LINK:
            check_link_target(entry.target)
        named = Entry(
            ObjectName.parse(entry.name), entry.kind, mode=entry.mode, modified_ms=entry.modified_ms,
            target=entry.target,
        )  # fmt: skip
        await self._namer.name([named])
        return catalogue_item(named)

    async def open(self, target: str, start: int, end: int | None) -> Reading:
        """Open a file for reading [start, end), both clamped to its size. The first chunk is fetched when this
        returns.
        """
        reference, entry = await self._readable(target)
        try:
            opened = await self._getter.open(reference)
        except NotFound:
            entry = await self._standing(parse_target(target), entry)
            if entry is None:
                raise
            reference = reference_of(entry)
            opened = await self._getter.open(reference)
        self._used(reference.cid)
        size = opened.inner.size
        first, last = min(start, size), size if end is None else min(end, size)
        chunks = self._getter.read(opened, first, last)
        return Reading(
            opened=opened,
            name=entry.name.rpartition("/")[2] if entry else opened.inner.name,
            start=first,
            end=last,
            mode=entry.mode if entry else _PLAIN_MODE,
            modified_ms=entry.modified_ms if entry else 0,
            chunks=await primed(chunks),
        )

    async def locate(self, target: str) -> tuple[Placement, Layout, Entry | None, Reference | None]:
        """Where an object lies, by any way of naming it; its catalogue entry and reference where they are known."""
        meant = parse_target(target)
        if isinstance(meant, ObjectName | ContentDigest):
            entry = await self._entry(meant)
            try:
                placement, layout = await self._getter.locate(reference_of(entry).cid)
            except NotFound:
                latest = await self._standing(meant, entry)
                if latest is None:
                    raise
                entry = latest
                placement, layout = await self._getter.locate(reference_of(entry).cid)
            return placement, layout, entry, reference_of(entry)
        cid = meant.cid if isinstance(meant, Reference) else meant
        placement, layout = await self._getter.locate(cid)
        named = next(iter(await self._catalogue.names_of(cid)), None)
        if isinstance(meant, Reference):
            await self._getter.open(meant)
            return placement, layout, named, meant
        return placement, layout, named, None if named is None else reference_of(named)

    async def find(self, sha256: ContentDigest, after: str, limit: int) -> CataloguePage:
        """Names of files whose whole content has this SHA-256, behind `after`."""
        limit = max(1, min(limit, MAX_PAGE))
        entries = await self._catalogue.holding(sha256, after, limit)
        return _page(entries, limit)

    async def sha256_of(self, entry: Entry | None) -> str:
        """The SHA-256 of what a name stands for, in hexadecimal; empty where it is not known."""
        if entry is None:
            return ""
        return (entry.sha256 or await self._catalogue.sha256_of(entry.name)).hex()

    async def _entry(self, meant: ObjectName | ContentDigest) -> Entry:
        """What a name stands for; the first name of a content. Raises NotFound."""
        if isinstance(meant, ObjectName):
            return await self._catalogue.find(meant)
        return (await self._holding(meant))[0]

    async def _standing(self, meant: object, entry: Entry | None) -> Entry | None:
        """What to read when this node has heard that the object of `entry` was removed: what its name stands for by
        now, of which it had not heard yet; or the same, its removal taken back, where the name stands for it still.
        None when there is neither. Raises NotFound when the name was removed as well."""
        if entry is None:
            return None
        latest = entry
        if isinstance(meant, ObjectName):
            await self._catalogue.learn(entry.name)
            latest = await self._catalogue.find(ObjectName(entry.name))
        anew = latest.reference != entry.reference
        return latest if anew or await self.revive(reference_of(entry).cid) else None

    async def _holding(self, sha256: ContentDigest) -> Sequence[Entry]:
        """Every name of a content. Raises NotFound when there is none."""
        found: list[Entry] = []
        while page := await self._catalogue.holding(sha256, found[-1].name if found else "", MAX_PAGE):
            found += page
        if not found:
            raise NotFound(
                f"no name stands for a content with the SHA-256 {sha256}",
                hint="objects without a name, and those put by a release that computed none, are not found by it",
            )
        return found

    async def list(self, prefix: str, after: str, limit: int) -> CataloguePage:
        """Names that start with `prefix`, behind `after`; those of INOS itself only when `prefix` begins like them."""
        limit = max(1, min(limit, MAX_PAGE))
        found = await self._catalogue.page(prefix, after, limit)
        if not prefix.startswith(OWN_NAMES) and any(entry.name.startswith(OWN_NAMES) for entry in found):
            found = [entry for entry in found if entry.name < OWN_NAMES]
            found += await self._catalogue.page(prefix, max(after, _BEHIND_OWN_NAMES), limit - len(found))
        return _page(found, limit)

    async def list_nameless(self, after: str, limit: int) -> CataloguePage:
        """Objects of this owner that have no name, behind the cid `after`, as far as this node knows: put without one,
        left by a put that fell short of its requirement or was cut off, or being put now. Raises NotEnoughNodes as
        `remove` does."""
        limit = max(1, min(limit, MAX_PAGE))
        behind = bytes(Cid.parse(after)) if after else b""
        await self._catalogue.refresh()
        found: list[Placement] = []
        while len(found) < limit and (some := await self._env.in_thread(self._owned, behind)):
            behind = bytes(some[-1].cid)
            nameless = set(await self._catalogue.nameless([placement.cid for placement in some]))
            found += [placement for placement in some if placement.cid in nameless]
        items = tuple(CatalogueItem("", Kind.FILE.value, one.size, 0, cid=str(one.cid)) for one in found[:limit])
        return CataloguePage(items, items[-1].cid if len(items) == limit else "")

    def _owned(self, behind: bytes) -> Sequence[Placement]:
        return tuple(islice(self._placements.owned(behind), MAX_PAGE))

    async def objects_of(self, target: str) -> Sequence[Cid]:
        """The objects that a name, a folder with all that is in it, a reference, a cid or a SHA-256 stands for. Raises
        NotFound."""
        meant = parse_target(target)
        if isinstance(meant, ContentDigest):
            return _objects_in(await self._holding(meant))
        if isinstance(meant, ObjectName):
            entries = await self._catalogue.tree(meant) or [await self._catalogue.find(meant)]
            return _objects_in(entries)
        cid = meant.cid if isinstance(meant, Reference) else meant
        if await self._placements.find(cid) is None:
            raise NotFound(f"no node that can be reached knows the object {cid}", hint="check the reference")
        return [cid]

    async def items_of(self, cids: Sequence[Cid]) -> Sequence[CatalogueItem]:
        """These objects as the catalogue has them, each under its first name; without one, by cid alone."""
        items = []
        for cid in cids:
            named = next(iter(await self._catalogue.names_of(cid)), None)
            placement = None if named else self._placements.known(cid)
            size = placement.size if placement is not None else 0
            items.append(catalogue_item(named) if named else CatalogueItem("", Kind.FILE.value, size, 0, cid=str(cid)))
        return items

    async def remove(self, target: str) -> RemoveReport:
        """Remove a name, a folder with all that is in it, or every name of a reference, cid or SHA-256; of a name that
        is a file or a link as well as a folder, the former. Raises NotEnoughNodes on a node that was away and cannot
        ask the others which names there are by now.
        """
        meant = parse_target(target)
        await self._catalogue.refresh()
        if isinstance(meant, ObjectName):
            await self._catalogue.learn(meant)
        # Alone, so that no put gives one of these objects a name between the look and the removal.
        async with self._namer.turns.alone():
            names, cids, below = await self._meant_by(meant)
            with self._namer.removing(await self._namer.note_removal(cids)):
                if names:
                    await self._catalogue.remove(names)
                unnamed = await self._namer.remove_unnamed(cids)
        return RemoveReport(tuple(names), len(names) or len(unnamed), self._freed_after_s, below)

    async def _meant_by(
        self, meant: ObjectName | Reference | Cid | ContentDigest
    ) -> tuple[Sequence[str], Sequence[Cid], int]:
        """The names to remove, the objects they stand for, and how many names below stay."""
        if isinstance(meant, ContentDigest):
            entries = await self._holding(meant)
            return [entry.name for entry in entries], _objects_in(entries), 0
        if isinstance(meant, ObjectName):
            # A name written elsewhere a moment ago may not have come here yet: a majority knows it.
            tree = await self._catalogue.tree(meant) or [await self._catalogue.find(meant)]
            entries = meant_to_go(meant, tree)
            return [entry.name for entry in entries], _objects_in(entries), len(tree) - len(entries)
        cid = meant.cid if isinstance(meant, Reference) else meant
        await self._check_owned(cid)
        return [entry.name for entry in await self._catalogue.names_of(cid)], [cid], 0

    async def _check_owned(self, cid: Cid) -> None:
        placement = await self._placements.find(cid)
        if placement is None:
            raise NotFound(f"no node that can be reached knows the object {cid}", hint="check the reference")
        if placement.owner != self._owner:
            raise Refused(f"the object {cid} belongs to another owner", hint="only its owner can remove it")

    async def _readable(self, target: str) -> tuple[Reference, Entry | None]:
        meant = parse_target(target)
        if isinstance(meant, Reference):
            return meant, next(iter(await self._catalogue.names_of(meant.cid)), None)
        if isinstance(meant, ObjectName | ContentDigest):
            entry = await self._entry(meant)
            return reference_of(entry), entry
        for entry in await self._catalogue.names_of(meant):
            return reference_of(entry), entry
        raise BadInput(
            f"a cid alone does not open an object: {meant}", hint="give its reference (inos:<cid>#<key>) or its name"
        )


async def primed(chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same chunks, the first of them fetched already, so that what fails at once fails before an answer begins."""
    try:
        head = await anext(chunks)
    except StopAsyncIteration:
        head = b""
    resumed = _resumed(head, chunks)
    # Up to its first yield: closing a generator that was never started would not close the one behind it.
    await anext(resumed)
    return resumed


async def _resumed(head: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    try:
        yield b""
        if head:
            yield head
        async for chunk in rest:
            yield chunk
    finally:
        await rest.aclose()


def catalogue_item(entry: Entry) -> CatalogueItem:
    cid = cid_of(entry)
    return CatalogueItem(
        name=entry.name,
        kind=entry.kind.value,
        size=entry.size,
        modified_ms=entry.modified_ms,
        ref=entry.reference,
        cid="" if cid is None else str(cid),
        mode=entry.mode,
        target=entry.target,
        sha256=entry.sha256.hex(),
    )


def _page(entries: Sequence[Entry], limit: int) -> CataloguePage:
    following = entries[-1].name if len(entries) == limit else ""
    return CataloguePage(tuple(map(catalogue_item, entries)), following)


def _objects_in(entries: Iterable[Entry]) -> list[Cid]:
    return list(dict.fromkeys(cid for cid in map(cid_of, entries) if cid is not None))


def _file_entry(name: str, stored: Stored, mode: int, modified_ms: int) -> Entry:
    return Entry(name, Kind.FILE, str(stored.reference), stored.size, mode, modified_ms, sha256=stored.sha256)


def _put_report(stored: Stored, name: str, agreed: bool, seconds: float) -> PutReport:
    """`agreed`: whether a quorum has the name as well; without it the put is only as good as this node's disk."""
    return PutReport(
        ref=str(stored.reference),
        cid=str(stored.reference.cid),
        name=name,
        size=stored.size,
        survives=stored.survives,
        level=stored.level if agreed else LOCAL,
        members=len(stored.placement.members),
        wanted_survives=stored.wanted,
        stored_bytes=stored.stored_bytes,
        seconds=seconds,
        sha256=stored.sha256.hex(),
    )
