"""The node as its API sees it: `inos.api.service.NodeService` on a running core."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Final

import trio

from inos.api.service import Download
from inos.core import reports
from inos.core.components import ComponentCalls
from inos.core.env import Env
from inos.core.errors import BadInput, Conflict, NotFound
from inos.core.ids import Cid, ContentDigest, PeerId
from inos.mesh.invite import Wish, invite, may_invite
from inos.mesh.join import Joined, join_mesh
from inos.node.checking import Checking
from inos.node.core import Core
from inos.node.key_desk import KeyDesk
from inos.node.reporting import Reporting
from inos.node.row_desk import RowDesk
from inos.node.token_desk import TokenDesk
from inos.state.capability import Member
from inos.state.revocation import revoke_as_founder, revoke_as_owner
from inos.state.tickets import parse_ticket
from inos.vault.catalogue import Entry, Kind
from inos.vault.vault import MAX_PAGE

_REASON: Final = "revoked by its operator"

Rejoin = Callable[[Joined], Awaitable[int]]


class CoreService:
    """Answers the API for one running core. `rejoin` restarts the node in another mesh and returns its members."""

    def __init__(self, core: Core, reporting: Reporting, rejoin: Rejoin, components: ComponentCalls, env: Env) -> None:
        self._core = core
        self._vault = core.keeping.vault
        self._reporting = reporting
        self._checking = Checking(core, env)
        self._rejoin = rejoin
        self._env = env
        self.db: Final = RowDesk(core.disk.database, core.disk.rows, env)
        self.components: Final = components
        self.messages: Final = core.messaging.desk
        self.keys: Final = KeyDesk(core.identity.keyring, core.disk.rows.keys, env)
        self.message_tokens: Final = TokenDesk(core.disk.database, env)

    # Storing and reading

    async def put(self, source: AsyncIterator[bytes], options: reports.PutOptions) -> reports.PutReport:
        return await self._vault.put(source, options)

    async def put_batch(self, items: Sequence[reports.BatchItem], require: str) -> list[reports.PutReport]:
        return await self._vault.put_batch(items, require)

    async def put_link(self, name: str, target: str, modified_ms: int) -> reports.CatalogueItem:
        return await self._vault.put_entry(Entry(name, Kind.LINK, modified_ms=modified_ms, target=target))

    async def put_folder(self, name: str, mode: int, modified_ms: int) -> reports.CatalogueItem:
        return await self._vault.put_entry(Entry(name, Kind.FOLDER, mode=mode, modified_ms=modified_ms))

    async def open(self, target: str, start: int, end: int | None) -> Download:
        reading = await self._vault.open(target, start, end)
        inner, reference = reading.opened.inner, reading.opened.reference
        return Download(
            size=inner.size,
            name=reading.name,
            reference=str(reference),
            content_hash=inner.content_hash.hex(),
            chunks=reading.chunks,
            mode=reading.mode,
            modified_ms=reading.modified_ms,
        )

    async def list(self, prefix: str, after: str, limit: int) -> reports.CataloguePage:
        return await self._vault.list(prefix, after, limit)

    async def list_nameless(self, after: str, limit: int) -> reports.CataloguePage:
        return await self._vault.list_nameless(after, limit)

    async def find(self, sha256: ContentDigest, after: str, limit: int) -> reports.CataloguePage:
        return await self._vault.find(sha256, after, limit)

    async def stat(self, target: str) -> reports.StatReport:
        return await self._reporting.stat(target)

    async def remove(self, target: str) -> reports.RemoveReport:
        return await self._vault.remove(target)

    async def pin(self, target: str, pinned: bool) -> reports.PinReport:
        cids = await self._vault.objects_of(target)
        changed = await self._core.keeping.pinning.pin(cids, pinned)
        return reports.PinReport(target, pinned, len(cids), changed)

    async def list_pinned(self, after: str, limit: int) -> reports.CataloguePage:
        cids = await self._core.keeping.pinning.page(Cid.parse(after) if after else None, max(1, min(limit, MAX_PAGE)))
        items = tuple(await self._vault.items_of(cids))
        return reports.CataloguePage(items, str(cids[-1]) if len(cids) == limit else "")

    async def verify(self, target: str | None, plan: reports.VerifyPlan) -> AsyncGenerator[reports.VerifyReport, None]:
        if target is not None and plan != reports.VerifyPlan():
            raise BadInput(
                "an object is checked whole, at full speed", hint="inos verify --part 1/30, without an object"
            )
        found = self._checking.chunks_here(plan) if target is None else self._checking.object_everywhere(target)
        async for report in found:
            yield report

    async def backup(self, place: str, kind: str) -> AsyncGenerator[reports.BackupReport, None]:
        keyring = self._core.identity.keyring
        from inos.daemon.backups import node_backup  # with fsspec, a thirtieth of a node's start

        steps = node_backup(self._core.disk, keyring, place, "mesh" if kind == "mesh" else "full", self._env)
        try:
            while (report := await self._env.in_thread(next, steps, None)) is not None:
                yield report
        finally:
            steps.close()

    # Who is in

    async def invite(self, single_use: bool, lifetime_s: int) -> reports.TicketReport:
        await trio.lowlevel.checkpoint()
        core, key = self._core, self._core.identity.node_key
        ticket = invite(self._env, key, core.membership, core.network.addresses(), Wish(lifetime_s, single_use))
        expires_s = ticket.invitation.terms.expires_ms / 1000
        return reports.TicketReport(ticket.text(), expires_s, single_use, not may_invite(key, core.membership))

    async def join(self, ticket: str) -> reports.JoinReport:
        parsed = parse_ticket(ticket)
        core, identity = self._core, self._core.identity
        if parsed.genesis.mesh == identity.genesis.mesh:
            raise Conflict("this node is a member of that mesh already", hint="'inos peers' shows who else is")
        if len(core.membership.members()) > 1:
            raise Conflict(
                "this node is a member of another mesh that has other members",
                hint="join with a new data root: inos init --home DIR, then inos join --home DIR TICKET",
            )
        joined = await join_mesh(core.network, parsed, node=identity.node, owner=identity.owner_key)
        return reports.JoinReport(str(joined.genesis.mesh), await self._rejoin(joined))

    async def revoke(self, peer: str) -> reports.RevokeReport:
        core, identity = self._core, self._core.identity
        node = node_named(self._core.membership.members(), peer)
        member = core.membership.members()[node]
        if node == identity.node:
            raise BadInput("a node cannot revoke itself", hint="stop it and remove its data root instead")
        now_s = self._env.now_s()
        if identity.owner == identity.genesis.founder:
            keeps, lamport = core.membership.certified_by(node), core.tables.clock.tick()
            record = revoke_as_founder(
                identity.owner_key, node, keeps=keeps, lamport=lamport, reason=_REASON, now_s=now_s
            )
        else:
            known = core.membership.record_of(node)
            if known is None or member.owner != identity.owner:
                raise Conflict("only the founder of the mesh, or its owner, may revoke a node")
            record = revoke_as_owner(identity.owner_key, known, reason=_REASON, now_s=now_s)
        await core.tables.write([record])
        await core.network.disconnect(member.peer)
        return reports.RevokeReport(member.peer, member.name)

    # Looking

    async def status(self) -> reports.StatusReport:
        return await self._reporting.status()

    async def peers(self) -> Sequence[reports.PeerReport]:
        return await self._reporting.peers()


def node_named(members: Mapping[bytes, Member], text: str) -> bytes:
    """The member with this peer id, or this name where only one has it: a name that looks like another's peer id hides
    nobody."""
    named = [node for node, member in members.items() if text == member.peer]
    named = named or [node for node, member in members.items() if text == member.name]
    if len(named) > 1:
        raise BadInput(f"{len(named)} members are named {text!r}", hint="give the peer id: inos peers")
    if not named:
        if text.startswith("12D3"):
            PeerId.parse(text)
        raise NotFound(f"no member is named {text!r}", hint="'inos peers' lists the members")
    return named[0]
