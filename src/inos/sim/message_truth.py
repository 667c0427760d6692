"""Where the messages of a simulated mesh really are, and what must be true of them after the quiet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import trio

from inos.core.errors import InosError
from inos.core.ids import Cid
from inos.messages.hub import Hub
from inos.messages.segments import FOLDER
from inos.sim.cluster import ClusterNode
from inos.sim.world import OPERATION_S, World

_PAGE: Final = 500
_MANY: Final = 1000
# Longer than the last of those that stand by waits for its turn.
PATIENCE_S: Final = 120.0
# Of segments that are merged by the eighth: seven of each size and kind, of a few terms.
MOST_SEGMENTS: Final = 120


def hubs(world: World) -> list[ClusterNode]:
    """Machines that take themselves for the hub, and do not lie."""
    return [node for node in world.honest() if node.core.messaging.role.serving is not None]


def serving(world: World) -> Hub | None:
    """The one hub, where there is one and it serves."""
    found = [node.core.messaging.role.serving for node in hubs(world)]
    return found[0] if len(found) == 1 and found[0] is not None and found[0].ready else None


def note_safe(world: World) -> None:
    """Note which messages outlive the hub by now, as each hub says: that this is true is what the end shows."""
    book = world.messages
    if not book.used:
        return
    book.segments |= segment_cids(world)
    for node in hubs(world):
        hub = node.core.messaging.role.serving
        assert hub is not None
        book.passed |= dict.fromkeys(each for each in hub.restoring.passed if not each.marks)
        if not hub.ready:
            continue
        until, seq = hub.covering.covered_seq, book.looked.get(hub.identity, 0)
        while seq < until and (page := hub.corpus.after(seq, min(_PAGE, until - seq))):
            for each in page:
                book.places.setdefault(each.message.id, set()).add((hub.identity, each.seq))
                if (known := book.written.get(each.message.id)) is not None:
                    known.safe = True
            seq = page[-1].seq
        book.looked[hub.identity] = seq


def segment_cids(world: World) -> dict[Cid, None]:
    """The objects of all segments that any honest machine has a name for."""
    found: dict[Cid, None] = {}
    for node in world.honest():
        for row in node.core.disk.names.page(FOLDER, "", _MANY):
            if row.cid is not None:
                found[row.cid] = None
    return found


def messages_kept(world: World) -> Iterator[str]:
    """Every message that was acknowledged is on the one hub, once, and each agent's are in the order of their ids, but
    for those that a hub had to go on without."""
    book = world.messages
    if not book.used or not (book.written or hubs(world)):
        return
    found = hubs(world)
    if len(found) != 1:
        yield f"{len(found)} machines are the hub: {', '.join(map(world.name, found))}"
        return
    hub = found[0].core.messaging.role.serving
    assert hub is not None
    if not hub.ready:
        yield f"{world.name(found[0])} does not serve yet"
        return
    yield from _missing(world, hub)
    others = [node for node in world.honest() if node is not found[0] and node.core.messaging.role.hub is not None]
    if others:
        yield f"{', '.join(map(world.name, others))} still keep a corpus open that was to be handed on"


def _missing(world: World, hub: Hub) -> Iterator[str]:
    last: dict[str, str] = {}
    seen: set[str] = set()
    seq = 0
    while page := hub.corpus.after(seq, _PAGE):
        for each in page:
            message = each.message
            if message.id in seen:
                yield f"message {message.id} is there twice"
            seen.add(message.id)
            latest = last.get(message.agent, "")
            if message.id < latest and not world.messages.may_be_late(message.id):
                yield f"message {message.id} of {message.agent} came behind {latest}"
            last[message.agent] = max(latest, message.id)
            known = world.messages.written.get(message.id)
            if known is not None and known.message != message:
                yield f"message {message.id} is another one now"
        seq = page[-1].seq
    missing = [one for one in world.messages.written if one not in seen]
    if missing:
        first = world.messages.written[missing[0]]
        yield f"{len(missing)} acknowledged messages are not on the hub, such as {missing[0]} of {first.message.agent}"
    unmarked = [one for one in world.messages.marked if one in seen and not hub.corpus.get(one).marks.has("read")]
    if unmarked:
        yield f"{len(unmarked)} acknowledged marks are not on the hub, such as that of {unmarked[0]}"


def segments_few(world: World) -> Iterator[str]:
    """The segments of a hub do not grow in number without end."""
    count = len(segment_cids(world)) if world.messages.used else 0
    if count > MOST_SEGMENTS:
        yield f"{count} segments of messages"


async def provide_hub(world: World) -> None:
    """Where every machine that might have taken over is gone for good, somebody makes another one the hub, as the
    documentation says."""
    while world.messages.used:
        await trio.sleep(PATIENCE_S)
        there = world.honest()
        if there and not any(node.core.messaging.role.serving for node in there):
            with suppress(InosError):
                await world.ask(there[0], there[0].core.messaging.desk.take_hub, OPERATION_S)
