"""What must be true of a mesh, whatever happens to it: each a function from the world to what is wrong with it.

`ALWAYS` holds at every moment and is checked all along; `AFTERWARDS` must have become true a stated time after the
faults have stopped. To add one: write the function, add it to its tuple, describe it in docs/simulation.md, and say in
`mutations.py` which fault of the code it catches that no other does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import trio

from inos.core.worker import Phase
from inos.messages.hub_record import TABLE as HUBS
from inos.replication.durability import UNREADABLE
from inos.replication.placement import TABLE as PLACEMENT
from inos.sim.message_truth import messages_kept, segments_few
from inos.sim.promises import Fate
from inos.sim.truth import needed_chunks, standing, wanted
from inos.sim.world import World
from inos.state.revocation import MEMBERS, REVOCATIONS
from inos.vault.catalogue import TABLE as CATALOGUE

Invariant = Callable[[World], Iterator[str]]

TABLES: Final = (MEMBERS, REVOCATIONS, PLACEMENT, CATALOGUE, HUBS)
# An idle node runs some 40 tasks, and a few for each link; a round of repair or a put adds dozens for seconds.
TASKS_A_NODE: Final = 400
TASKS_A_LINK: Final = 8
# The busiest 15 s in 60 storms over 7 machines took 61 a machine; heartbeats and tables of a quiet one take 2 a link.
FRAMES_A_NODE: Final = 100
FRAMES_A_LINK: Final = 10
# Records a node may have that no replica has: what it wrote itself while it was cut off.
PENDING_RECORDS: Final = 500
# Twice the longest interval of the workers looked at, with their longest backoff.
PROGRESS_S: Final = 300.0
# Workers whose step waits for other machines may fail while faults go on; a step that never ends may not.
_SLOW_WORKERS: Final = frozenset(("orphans", "announce"))


def readable(world: World) -> Iterator[str]:
    """An owed object that lost no more machines than it was said to survive can be put together from the disks of
    the machines that run."""
    for promise in world.promises.owed():
        if not promise.within_its_losses:
            continue
        left = standing(world, promise)
        # A removal made by somebody who had not heard of a second name is taken back before anything is freed.
        if left == UNREADABLE and not world.cluster.is_removed(promise.cid):
            lost = ", ".join(str(number) for number in promise.lost)
            yield f"{promise.label}: nothing brings it back; it survives {promise.survives}, lost were [{lost}]"


def bounded(world: World) -> Iterator[str]:
    """No queue, table, number of tasks or traffic grows without end."""
    nodes = len(world.cluster.nodes)
    tasks = trio.lowlevel.current_statistics().tasks_living
    limit = nodes * (TASKS_A_NODE + TASKS_A_LINK * nodes)
    if tasks > limit:
        yield f"{tasks} tasks for {nodes} nodes, over {limit}"
    rate, most = world.frames_a_s, FRAMES_A_NODE + FRAMES_A_LINK * nodes
    if rate > most:
        yield f"more than {most} frames a second from each machine"
    puts = sum(1 for _ in world.promises) + len(world.messages.segments)
    for node in world.honest():
        name = world.name(node)
        if node.core.tables.pending > PENDING_RECORDS:
            yield f"{name}: {node.core.tables.pending} records wait for their majority"
        held = node.core.keeping.book.count()
        if held > 2 * puts + 1:
            yield f"{name}: {held} holdings after {puts} puts"


def working(world: World) -> Iterator[str]:
    """Every worker of a node that can reach the others comes to the end of its step again and again."""
    now_s = trio.current_time()
    for node in world.honest():
        if not world.settled(node) or now_s - node.started_s < PROGRESS_S:
            continue
        for status in node.core.workers.statuses():
            last_s = status.last_success_s if status.last_success_s is not None else node.started_s
            stuck = status.phase is Phase.RUNNING and now_s - last_s > PROGRESS_S
            if stuck and status.name not in _SLOW_WORKERS:
                yield f"{world.name(node)}: worker {status.name} has not ended a step since {last_s:.0f} s"


# What must have become true some time after the last fault


def redundant(world: World) -> Iterator[str]:
    """Every owed object has all of its redundancy again, counted on the disks."""
    for promise in world.promises.owed():
        left, most = standing(world, promise), wanted(world, promise)
        if left < most:
            yield f"{promise.label}: survives {left} more losses, wanted {most}"


def equal(world: World) -> Iterator[str]:
    """All replicas of all tables have the same records, removals included."""
    for table in TABLES:
        for sector in sorted({sector for node in world.honest() for sector in node.core.disk.records.roots(table)}):
            having = [node for node in world.honest() if node.core.tables.keeps(table, sector)]
            roots = {node.core.disk.records.root(table, sector) for node in having}
            if len(roots) > 1:
                names = ", ".join(world.name(node) for node in having)
                yield f"{table} sector {sector}: {len(roots)} versions on {names}"


def removed_stays_away(world: World) -> Iterator[str]:
    """What was removed is listed nowhere, has no placement and takes no space."""
    for promise in world.promises.with_fate(Fate.REMOVED):
        if promise.report is None or world.promises.keep(promise):
            continue
        for node in world.honest():
            # Where a mesh has grown past the size at which everybody keeps all placements, old ones lie around.
            known = promise.cid in world.stocks.of(node).placements
            if known and node.core.tables.holds(PLACEMENT, bytes(promise.cid)):
                yield f"{promise.label}: {world.name(node)} still knows where it is"
            elif node.core.keeping.book.holds(promise.cid):
                yield f"{promise.label}: {world.name(node)} still holds it"


def nothing_is_left_over(world: World) -> Iterator[str]:
    """A machine keeps no chunk that no known object needs."""
    needed = needed_chunks(world)
    if needed is None:
        return
    for node in world.honest():
        extra = world.stocks.of(node).chunks - needed
        if extra:
            yield f"{world.name(node)}: {len(extra)} chunks of no object"


def sound(world: World) -> Iterator[str]:
    """Every chunk file of every machine has the bytes its name says."""
    for node in world.honest():
        for address in sorted(world.stocks.of(node).chunks):
            if not node.is_sound(address):
                yield f"{world.name(node)}: chunk {address!r} is damaged"


def at_peace(world: World) -> Iterator[str]:
    """No worker of any node fails, and nothing waits to be written."""
    for node in world.honest():
        for status in node.core.workers.statuses():
            if status.phase is Phase.FAILING:
                yield f"{world.name(node)}: worker {status.name} fails: {status.last_error}"
        if node.core.tables.pending:
            yield f"{world.name(node)}: {node.core.tables.pending} records wait for their majority"


ALWAYS: Final[tuple[Invariant, ...]] = (readable, bounded, working)
AFTERWARDS: Final[tuple[Invariant, ...]] = (
    redundant, equal, removed_stays_away, nothing_is_left_over, at_peace, sound, messages_kept, segments_few,
)  # fmt: skip
