"""Faults in keeping objects: syncing, checking, holding, promising, repairing, healing, freeing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from inos.core.codec import encode
from inos.core.ids import Address, PeerId
from inos.mesh.network import Calls, Message
from inos.node.upkeep import Upkeep
from inos.replication import bulk, fetch
from inos.replication.collect import Collector
from inos.replication.holder import Holder, HoldState
from inos.replication.placement import Placement
from inos.replication.repair import Repair
from inos.sim.disk_file import SimFile
from inos.sim.disk_files import SimFiles
from inos.sim.mutations.mutation import Mutation, replaced
from inos.sim.script import Script, cluster
from inos.store import disk_chunks
from inos.store.chunk_index import Location, Row
from inos.store.disk_chunks import DiskChunkStore
from inos.vault import put

KIB = 1 << 10


@contextmanager
def _acknowledge_before_sync() -> Iterator[None]:
    """Nothing waits for the disk: a sync of a file, of a name, or of the database returns with nothing done."""

    def sync(self: SimFiles, path: str, file: SimFile) -> None:
        return

    def sync_names(self: SimFiles, folder: str) -> None:
        return

    with replaced(SimFiles, "sync", sync), replaced(SimFiles, "sync_names", sync_names):
        yield


def _power_fails_everywhere(seed: int) -> tuple[Script, float]:
    return cluster(5, seed=seed).put("letter", 200_000, "a").blackout(), 60


@contextmanager
def _skip_verification() -> Iterator[None]:
    """Bytes are taken for what their address says: from others, into the store, and back from the disk."""

    async def get_chunk(
        calls: Calls, peer: PeerId, address: Address, *, timeout_s: float = bulk.TRANSFER_TIMEOUT_S
    ) -> bytes:
        request = Message(encode("p2p/chunks.capnp:ChunkRequest", address=bytes(address)))
        return (await calls.call(peer, bulk.GET, request, timeout_s=timeout_s)).body

    def verified(self: DiskChunkStore, row: Row) -> bytes | None:
        return row.data if row.location is Location.INLINE else self._files.read(row.address, row.size)

    def checked(chunks: Sequence[tuple[Address, bytes]]) -> dict[Address, bytes]:
        return dict(chunks)

    with (
        replaced(fetch, "get_chunk", get_chunk),
        replaced(disk_chunks, "checked", checked),
        replaced(DiskChunkStore, "_verified", verified),
    ):
        yield


def _one_lies_and_one_rots(seed: int) -> tuple[Script, float]:
    script = cluster(5, seed=seed).put("letter", 200_000, "a").wait(seconds=30)
    return script.corrupt("b", "letter").get("letter", "b"), 60


@contextmanager
def _count_unverified_copies() -> Iterator[None]:
    """A holder that is asked to hold an object says that it has all of its pieces, without a look at its disk."""

    def count_all(self: Holder, placements: Sequence[Placement], found: Any) -> list[HoldState]:
        return [HoldState(placement.cid, 1, 1, epoch=placement.epoch) for placement in placements]

    with replaced(Holder, "_count_all", count_all):
        yield


def _a_disk_is_replaced(seed: int) -> tuple[Script, float]:
    return cluster(5, seed=seed, settle_s=180).put("letter", 200_000, "a").wait(seconds=20).lose_disk("b"), 60


@contextmanager
def _promise_what_was_planned() -> Iterator[None]:
    """A put says that it survives what its plan is for, whoever answered."""

    def survivable_losses(groups: Any, good: Any) -> int:
        return 4

    with replaced(put, "survivable_losses", survivable_losses):
        yield


def _put_where_most_are_away(seed: int) -> tuple[Script, float]:
    return cluster(6, seed=seed).stop("e").stop("f").wait(seconds=15).put("letter", 200_000, "a"), 30


@contextmanager
def _repair_stops() -> Iterator[None]:
    """Repair goes on running and does nothing."""

    async def step(self: Repair) -> None:
        return

    with replaced(Repair, "step", step):
        yield


def _a_machine_is_lost(seed: int) -> tuple[Script, float]:
    return cluster(6, seed=seed, settle_s=180).put("letter", 200_000, "b").wait(seconds=20).destroy("b"), 60


@contextmanager
def _never_scrub() -> Iterator[None]:
    """Nobody reads what nobody asks for."""

    async def scrub(self: Upkeep) -> None:
        return

    with replaced(Upkeep, "scrub", scrub):
        yield


def _rot_that_nobody_reads(seed: int) -> tuple[Script, float]:
    return cluster(5, seed=seed, settle_s=180).put("letter", 200_000, "a").wait(seconds=20).corrupt("b", "letter"), 60


@contextmanager
def _free_without_asking() -> Iterator[None]:
    """What others are to keep is freed without asking them whether they have it."""

    async def whole(self: Collector, placement: Placement) -> bool:
        return True

    with replaced(Collector, "_whole", whole):
        yield


def _put_behind_a_cut(seed: int) -> tuple[Script, float]:
    script = cluster(7, seed=seed, remove_delay_s=10, settle_s=180, erasure_from_bytes=384 * KIB, chunk_bytes=128 * KIB)
    return script.cut_off("a").put("letter", 900_000, "a"), 120


OBJECT_MUTATIONS = (
    Mutation(
        "acknowledge-before-sync",
        "nothing waits for the disk",
        ("readable", "starts again", "acknowledged truly"),
        _acknowledge_before_sync,
        _power_fails_everywhere,
    ),
    Mutation(
        "skip-verification",
        "bytes are taken for what their address says",
        ("readable", "redundant", "sound"),
        _skip_verification,
        _one_lies_and_one_rots,
    ),
    Mutation(
        "count-unverified-copies",
        "a holder says that it has its pieces without a look",
        ("acknowledged truly", "redundant", "readable"),
        _count_unverified_copies,
        _a_disk_is_replaced,
    ),
    Mutation(
        "promise-what-was-planned",
        "a put says that it survives what it was planned to survive",
        ("acknowledged truly",),
        _promise_what_was_planned,
        _put_where_most_are_away,
    ),
    Mutation("repair-stops", "repair runs and does nothing", ("redundant",), _repair_stops, _a_machine_is_lost),
    Mutation("never-scrub", "nobody reads what nobody asks for", ("redundant",), _never_scrub, _rot_that_nobody_reads),
    Mutation(
        "free-without-asking",
        "what others are to keep is freed without asking whether they have it",
        ("at_peace", "readable", "redundant"),
        _free_without_asking,
        _put_behind_a_cut,
    ),
)
