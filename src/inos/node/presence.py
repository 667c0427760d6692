"""What this node says of itself to the mesh: its record in table `members`, renewed when something worth telling
changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from inos.core.env import Env
from inos.node.identity import Identity
from inos.replication.table_writes import WriteResult
from inos.state.capability import MAX_ADDRESSES, Capability
from inos.state.lamport import LamportClock
from inos.state.record import Record
from inos.state.records import sign_record
from inos.state.revocation import MEMBERS

# Used space moves all the time; others only need to know by which twentieth of what is offered.
_USED_STEPS: Final = 20


class Tables(Protocol):
    @property
    def clock(self) -> LamportClock: ...

    async def write(self, records: Sequence[Record]) -> WriteResult: ...


class LocalRecords(Protocol):
    def get(self, table: str, key: bytes) -> Record | None: ...


class Offer(Protocol):
    """What this node gives to the mesh, in bytes."""

    def storage_bytes(self) -> int: ...

    def used_bytes(self) -> int: ...


class Presence:
    """Keeps the node's own member record right. `addresses` says where the node can be reached now."""

    def __init__(
        self,
        identity: Identity,
        about: Capability,
        offer: Offer,
        addresses: Callable[[], Sequence[str]],
        tables: Tables,
        records: LocalRecords,
        env: Env,
    ) -> None:
        self._identity = identity
        self._about = about
        self._offer = offer
        self._addresses = addresses
        self._tables = tables
        self._records = records
        self._env = env
        self._made_of: tuple[tuple[str, ...], int, int] | None = None
        self._made = b""

    async def step(self) -> None:
        """Say what has changed, if anything."""
        value = await self._env.in_thread(self._current)
        node = self._identity.node
        said = self._records.get(MEMBERS, node)
        if said is not None and not said.removed and said.value == value:
            return
        lamport = self._tables.clock.tick(after=said.lamport if said is not None else 0)
        await self._tables.write([sign_record(self._identity.node_key, MEMBERS, node, value, lamport)])

    def _current(self) -> bytes:
        """The encoded Capability, made anew only when what moves in it has moved."""
        storage_bytes = self._offer.storage_bytes()
        step_bytes = max(1, storage_bytes // _USED_STEPS)
        used_bytes = self._offer.used_bytes() // step_bytes * step_bytes
        moving = (tuple(self._addresses())[:MAX_ADDRESSES], storage_bytes, used_bytes)
        if moving != self._made_of:
            self._made_of, self._made = moving, self._capability(*moving).encode()
        return self._made

    def _capability(self, addresses: tuple[str, ...], storage_bytes: int, used_bytes: int) -> Capability:
        about, machine = self._about, self._env.machine()
        return Capability(
            certificate=self._identity.certificate.encode(),
            addresses=addresses,
            region=about.region,
            profile=about.profile,
            storage_bytes=storage_bytes,
            used_bytes=used_bytes,
            cores=machine.cores,
            memory_bytes=machine.memory_bytes,
            name=about.name,
        )
