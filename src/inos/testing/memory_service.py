"""A whole NodeService in memory: what the API, the client and the CLI are tested against over real HTTP.

It stores, lists, reads, removes and counts as a node does, with a quota. The mesh around it is made up: `members`
nodes, the last of which has failed.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import replace
from typing import Final

from inos.api.service import Download
from inos.core import reports
from inos.core.components import ComponentCalls
from inos.core.env import Env
from inos.core.errors import BadInput, BadTicket, NotEnoughNodes, NotFound, StorageFull, Unavailable
from inos.core.ids import Cid, ContentDigest, PeerId
from inos.core.object_names import check_link_target
from inos.crypto.derive import Keyring, MasterSecret
from inos.crypto.digest import sha256_digest
from inos.crypto.hashing import blake3_digest
from inos.messages.sqlite_corpus import SqliteCorpus
from inos.node.key_desk import KeyDesk
from inos.node.row_desk import RowDesk
from inos.node.token_desk import TokenDesk
from inos.objects.reference import ObjectName, Reference, parse_target
from inos.sim.disk import SimDisk
from inos.store.database import Database
from inos.store.repositories import Repositories
from inos.testing.memory_messages import MemoryMessages
from inos.vault.catalogue import Entry, Kind
from inos.vault.places import Standing, check_apart, check_places

CHUNK_BYTES: Final = 1024 * 1024
TICKET: Final = "inos-ticket-"


class MemoryService:
    """A node of a made-up mesh that keeps objects in a dict."""

    def __init__(self, env: Env, *, members: int = 5, quota_bytes: int = 0) -> None:
        self._env = env
        self._started_s = env.monotonic_s()
        self._quota_bytes = quota_bytes
        self._tickets: set[str] = set()
        self.peer_ids = [PeerId.from_public_key(bytes([number]) * 32) for number in range(members)]
        self.contents: dict[Cid, bytes] = {}
        self.names: dict[str, reports.CatalogueItem] = {}
        self.corrupt: set[Cid] = set()
        self.pinned: set[Cid] = set()
        self.api_url = ""
        self._disk = SimDisk(random.Random(1), capacity_bytes=1 << 30)  # noqa: S311 - no chance is asked of it
        self._database: Database | None = None
        self._messages: MemoryMessages | None = None
        self._message_tokens: TokenDesk | None = None

    @property
    def database(self) -> Database:
        """A real one, on a disk in memory; opened when it is first asked for."""
        if self._database is None:
            self._database = Database(self._disk.root / "inos.db", bytes(32), self._env, files=self._disk.files)
        return self._database

    @property
    def db(self) -> RowDesk:
        """The rows of that database."""
        return RowDesk(self.database, Repositories(self.database), self._env)

    @property
    def keys(self) -> KeyDesk:
        """Keys of an owner whose secret everybody knows."""
        return KeyDesk(Keyring(MasterSecret(bytes(32))), Repositories(self.database).keys, self._env)

    @property
    def components(self) -> ComponentCalls:
        """Refused: components are processes and files of a real node."""
        raise Unavailable("this node runs no components")

    @property
    def messages(self) -> MemoryMessages:
        """A hub with a real corpus, on the same disk; opened when it is first asked for."""
        if self._messages is None:
            corpus = SqliteCorpus(self._disk.root / "corpus.db", bytes(32), self._env, files=self._disk.files)
            self._messages = MemoryMessages(corpus, self._env)
        return self._messages

    @property
    def message_tokens(self) -> TokenDesk:
        """Tokens in that database."""
        if self._message_tokens is None:
            self._message_tokens = TokenDesk(self.database, self._env)
        return self._message_tokens

    def close(self) -> None:
        """Close the databases; what is in them stays."""
        if self._messages is not None:
            self._messages.corpus.close()
            self._messages = None
        if self._database is not None:
            self._database.close()
            self._database = self._message_tokens = None

    @property
    def _alive(self) -> int:
        return max(1, len(self.peer_ids) - 1)

    async def put(self, source: AsyncIterator[bytes], options: reports.PutOptions) -> reports.PutReport:
        """Store a stream; all of it is in memory before anything is named."""
        self._check_require(options.require)
        parts: list[bytes] = []
        size = 0
        async for part in source:
            size += len(part)
            self._check_room(size)
            parts.append(part)
        return self._store(b"".join(parts), options)

    async def put_batch(self, items: Sequence[reports.BatchItem], require: str) -> list[reports.PutReport]:
        """Store small files one after the other."""
        self._check_require(require)
        check_apart([ObjectName.parse(item.name) for item in items])
        options = [reports.PutOptions(ObjectName.parse(item.name), None, item.mode, item.modified_ms) for item in items]
        return [self._store(item.data, option) for item, option in zip(items, options, strict=True)]

    async def put_link(self, name: str, target: str, modified_ms: int) -> reports.CatalogueItem:
        """Record a link."""
        self._check_place(Entry(name, Kind.LINK, target=check_link_target(target)))
        item = self.names[name] = reports.CatalogueItem(name, "link", 0, modified_ms, mode=0o777, target=target)
        return item

    async def put_folder(self, name: str, mode: int, modified_ms: int) -> reports.CatalogueItem:
        """Record a folder."""
        self._check_place(Entry(name, Kind.FOLDER))
        item = self.names[name] = reports.CatalogueItem(name, "folder", 0, modified_ms, mode=mode)
        return item

    async def open(self, target: str, start: int, end: int | None) -> Download:
        """Read an object."""
        cid, name = self._find(target)
        content = self.contents[cid]
        chunks = self._chunks(memoryview(content)[start:end])
        item = self.names.get(name, reports.CatalogueItem("", "file", 0, 0, mode=0o644))
        digest = sha256_digest(content).hex()
        return Download(len(content), name, str(_reference(cid)), digest, chunks, item.mode, item.modified_ms)

    async def _chunks(self, content: memoryview) -> AsyncGenerator[bytes, None]:
        for at in range(0, len(content), CHUNK_BYTES):
            yield bytes(content[at : at + CHUNK_BYTES])

    async def list(self, prefix: str, after: str, limit: int) -> reports.CataloguePage:
        """Names in order."""
        names = sorted(name for name in self.names if name.startswith(prefix) and name > after)
        items = tuple(self.names[name] for name in names[:limit])
        return reports.CataloguePage(items, items[-1].name if len(names) > limit else "")

    async def list_nameless(self, after: str, limit: int) -> reports.CataloguePage:
        """Contents without a name."""
        named = {item.cid for item in self.names.values()}
        found = sorted(str(cid) for cid in self.contents if str(cid) not in named and str(cid) > after)
        sizes = {str(cid): len(content) for cid, content in self.contents.items()}
        items = tuple(reports.CatalogueItem("", "file", sizes[cid], 0, cid=cid) for cid in found[:limit])
        return reports.CataloguePage(items, items[-1].cid if len(found) > limit else "")

    async def find(self, sha256: ContentDigest, after: str, limit: int) -> reports.CataloguePage:
        """Names by content."""
        found = [name for name in self._names_of(sha256) if name > after][:limit]
        items = tuple(replace(self.names[name], sha256=str(sha256)) for name in found)
        return reports.CataloguePage(items, found[-1] if len(found) == limit else "")

    async def stat(self, target: str) -> reports.StatReport:
        """What is known of one object."""
        cid, name = self._find(target)
        size = len(self.contents[cid])
        shares = tuple(
            reports.MemberShare(peer, f"node-{number + 1}", number < self._alive, 1, int(number < self._alive))
            for number, peer in enumerate(self.peer_ids)
        )
        return reports.StatReport(
            name=name,
            ref=str(_reference(cid)),
            cid=str(cid),
            size=size,
            stored_size=size * len(shares),
            chunks=-(-size // CHUNK_BYTES) or 1,
            scheme=f"{len(shares)} copies",
            members=shares,
            pieces=len(shares),
            pieces_alive=self._alive,
            survives=self._alive - 1,
            level="replicated",
            wanted_survives=len(shares) - 1,
            under_replicated=self._alive < len(shares),
            sha256=sha256_digest(self.contents[cid]).hex(),
        )

    async def remove(self, target: str) -> reports.RemoveReport:
        """Remove a name, a tree, or every name of a reference."""
        meant, below = parse_target(target), 0
        if isinstance(meant, ObjectName):
            tree = [name for name in self.names if name == meant or name.startswith(meant + "/")]
            gone = [meant] if meant in self.names and self.names[meant].kind != "folder" else tree
            below = len(tree) - len(gone)
        elif isinstance(meant, ContentDigest):
            gone = [*self._names_of(meant)]
        else:
            cid, _ = self._find(target)
            gone = [name for name, item in self.names.items() if item.cid == str(cid)]
        if not gone:
            raise NotFound(f"no such object: {target}", hint="list names with: inos ls")
        for name in gone:
            del self.names[name]
        return reports.RemoveReport(tuple(sorted(gone)), len(gone), 3600.0, below)

    async def pin(self, target: str, pinned: bool) -> reports.PinReport:
        """Remember it."""
        cid, _ = self._find(target)
        changed = (cid in self.pinned) != pinned
        (self.pinned.add if pinned else self.pinned.discard)(cid)
        return reports.PinReport(target, pinned, 1, int(changed))

    async def list_pinned(self, after: str, limit: int) -> reports.CataloguePage:
        """What was pinned."""
        found = [str(cid) for cid in sorted(self.pinned) if str(cid) > after][:limit]
        items = tuple(
            next(
                (item for item in self.names.values() if item.cid == cid),
                reports.CatalogueItem("", "file", 0, 0, cid=cid),
            )
            for cid in found
        )
        return reports.CataloguePage(items, found[-1] if len(found) == limit else "")

    async def backup(self, place: str, kind: str) -> AsyncGenerator[reports.BackupReport, None]:
        yield reports.BackupReport(1, 2, 1)
        yield reports.BackupReport(2, 2, 2, 0, f"{kind} of {place}", finished=True)

    async def verify(self, target: str | None, plan: reports.VerifyPlan) -> AsyncGenerator[reports.VerifyReport, None]:
        """Check the objects marked corrupt; checking heals. It is never in parts."""
        if plan.part > plan.parts:
            raise BadInput(f"there is no part {plan.part} of {plan.parts}")
        cids = [self._find(target)[0]] if target else list(self.contents)
        corrupt = 0
        for checked, cid in enumerate(cids, 1):
            problem = f"chunk {cid.hex()[:12]} was corrupt" if cid in self.corrupt else ""
            corrupt += bool(problem)
            self.corrupt.discard(cid)
            yield reports.VerifyReport(checked, len(cids), corrupt, corrupt, 0, problem=problem)
        yield reports.VerifyReport(len(cids), len(cids), corrupt, corrupt, 0, finished=True)

    async def invite(self, single_use: bool, lifetime_s: int) -> reports.TicketReport:
        """A ticket this service will take back."""
        ticket = TICKET + self._env.token_bytes(16).hex()
        self._tickets.add(ticket)
        return reports.TicketReport(ticket, self._env.now_s() + lifetime_s, single_use)

    async def join(self, ticket: str) -> reports.JoinReport:
        """Take one of its own tickets, once."""
        if ticket not in self._tickets:
            raise BadTicket("the ticket is garbled or used up", hint="ask for a new one: inos invite")
        self._tickets.discard(ticket)
        return reports.JoinReport("6d" * 32, len(self.peer_ids))

    async def revoke(self, peer: str) -> reports.RevokeReport:
        """Forget a member."""
        if peer not in self.peer_ids:
            raise NotFound(f"no member {peer}", hint="list members with: inos peers")
        number = self.peer_ids.index(PeerId(peer))
        del self.peer_ids[number]
        return reports.RevokeReport(peer, f"node-{number + 1}")

    async def status(self) -> reports.StatusReport:
        """Counts of what is stored."""
        return reports.StatusReport(
            node_name="node-1",
            peer=self.peer_ids[0],
            owner="0e" * 32,
            mesh="6d" * 32,
            version="0.1.0",
            uptime_s=self._env.monotonic_s() - self._started_s,
            listen=("/ip4/127.0.0.1/tcp/4001",),
            api=self.api_url,
            profile="heavy",
            region="home",
            members=len(self.peer_ids),
            alive=self._alive,
            objects=len(self.contents),
            stored_bytes=sum(map(len, self.contents.values())),
            chunks=len(self.contents),
            quota_bytes=self._quota_bytes,
            free_bytes=10**12,
            workers=(
                reports.WorkerReport("repair", "waiting", 7, 0, 2.5, "", {"queued": 0}),
                reports.WorkerReport("anti-entropy", "failing", 3, 2, None, "PeerUnavailable: node-5 is silent"),
            ),
            repair={"queued": 0, "healed": 0},
            refused={"stranger": 1},
            messages=reports.MessageStatus("hub", 2, 1500.0, (reports.CacheStatus("scout", 4000, 3, 4.5),)),
            tiers=(reports.TierReport("hot", 10**6, 10**9, 0, "ok", 0), reports.TierReport("cold", 9, 9, 3, "full", 2)),
        )

    async def peers(self) -> Sequence[reports.PeerReport]:
        """The made-up members."""
        return [
            reports.PeerReport(
                peer=peer,
                node_name=f"node-{number + 1}",
                owner="0e" * 32,
                state="alive" if number < self._alive else "failed",
                since_s=60.0 * number,
                addresses=(f"/ip4/127.0.0.1/tcp/{4001 + number}",),
                region="home",
                profile="heavy",
                latency_ms=0.5 * number if number < self._alive else None,
                availability=0.99,
                storage_bytes=10**9,
            )
            for number, peer in enumerate(self.peer_ids)
        ]

    def _check_place(self, entry: Entry) -> None:
        below = f"{entry.name}/"
        full = [entry.name] if any(name.startswith(below) for name in self.names) else []
        check_places([entry], Standing({name: item.kind for name, item in self.names.items()}, full))

    def _store(self, content: bytes, options: reports.PutOptions) -> reports.PutReport:
        self._check_room(len(content))
        cid = Cid(blake3_digest(content))
        self.contents[cid] = content
        reference, name = str(_reference(cid)), options.name or ""
        if name:
            self._check_place(Entry(name, Kind.FILE))
            size, modified_ms = len(content), options.modified_ms
            self.names[name] = reports.CatalogueItem(name, "file", size, modified_ms, reference, str(cid), options.mode)
        members, stored = len(self.peer_ids), len(content) * len(self.peer_ids)
        survives = self._alive - 1
        return reports.PutReport(
            reference,
            str(cid),
            name,
            len(content),
            survives,
            "replicated",
            members,
            members - 1,
            stored,
            0.001,
            sha256_digest(content).hex(),
        )

    def _find(self, target: str) -> tuple[Cid, str]:
        meant = parse_target(target)
        if isinstance(meant, ContentDigest):
            meant = ObjectName(next(iter(self._names_of(meant)), "/of no content"))
        if isinstance(meant, ObjectName):
            item = self.names.get(meant)
            if item is None:
                raise NotFound(f"no such object: {meant}", hint="list names with: inos ls")
            if item.kind != "file":
                raise BadInput(f"{meant} is a {item.kind}, not a file")
            return Cid.parse(item.cid), meant
        cid = meant.cid if isinstance(meant, Reference) else meant
        if cid not in self.contents:
            raise NotFound(f"no such object: {cid}", hint="list names with: inos ls")
        return cid, ""

    def _names_of(self, sha256: ContentDigest) -> Sequence[str]:
        cids = {str(cid) for cid, content in self.contents.items() if sha256_digest(content) == sha256}
        return sorted(name for name, item in self.names.items() if item.cid in cids)

    def _check_room(self, more_bytes: int) -> None:
        held = sum(map(len, self.contents.values()))
        if self._quota_bytes and held + more_bytes > self._quota_bytes:
            raise StorageFull(f"the quota of {self._quota_bytes} bytes is full", hint="remove something: inos rm")

    def _check_require(self, require: str) -> None:
        levels = {"": 1, "local": 1, "quorum": len(self.peer_ids) // 2 + 1, "replicated": len(self.peer_ids)}
        needed = levels.get(require, int(require) if require.isdigit() else 0)
        if not needed:
            raise BadInput(f"unknown level {require!r}", hint="local, quorum, replicated or a number")
        if needed > self._alive:
            raise NotEnoughNodes(f"{needed} nodes are asked for and {self._alive} answer", hint="see: inos peers")


def _reference(cid: Cid) -> Reference:
    return Reference(cid, blake3_digest(cid))
