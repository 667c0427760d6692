"""Becoming a member of a mesh: with a network opened just for asking, or on behalf of a node that runs."""

from __future__ import annotations

from inos.core.env import Env
from inos.core.errors import Conflict, InosError
from inos.mesh.admission import JoinerAdmission
from inos.mesh.join import Joined, join_mesh
from inos.mesh.libp2p_host import MeshConfig, open_libp2p
from inos.node.disk import Disk
from inos.node.identity import Identity, remember_mesh
from inos.state.membership import Membership
from inos.state.record import Record
from inos.state.revocation import MEMBERS
from inos.state.tables import EVERYWHERE_SECTOR, TableSpec
from inos.state.tickets import parse_ticket

_PAGE = 1000


async def ask_to_join(ticket: str, identity: Identity, env: Env) -> Joined:
    """Join the mesh of `ticket` without a running node. Raises BadTicket, Refused, Unavailable."""
    parsed = parse_ticket(ticket)
    seed = identity.node_key.reveal_seed()
    async with open_libp2p(MeshConfig(), seed, JoinerAdmission(), env) as network:
        return await join_mesh(network, parsed, node=identity.node, owner=identity.owner_key)


def refuse_if_in_company(disk: Disk, identity: Identity) -> None:
    """Raises Conflict when the data root's mesh has other members: leaving it would orphan what it holds for them."""
    if known_members(disk, identity) > 1:
        raise Conflict(
            "this node is a member of another mesh that has other members",
            hint="join with a new data root: inos init --home DIR, then inos join --home DIR TICKET",
        )


def known_members(disk: Disk, identity: Identity) -> int:
    """How many members its mesh has as far as the data root knows, its own node among them. Blocks."""
    table = Membership(identity.genesis).member_table()
    found = (record for record in disk.records.scan(MEMBERS, b"", b"", _PAGE) if record.key != identity.node)
    return 1 + sum(not record.removed and _is_of(table, record) for record in found)


def _is_of(table: TableSpec, record: Record) -> bool:
    """Whether a member's record is of this mesh; those of a mesh left behind stay on the disk."""
    try:
        table.authorise(record, None)
    except InosError:
        return False
    return True


def keep_joined(disk: Disk, joined: Joined) -> None:
    """Remember the new mesh and the members it introduced, synced. Blocks."""
    disk.records.apply(joined.members, [EVERYWHERE_SECTOR] * len(joined.members))
    remember_mesh(disk.settings, joined.genesis, joined.certificate)
