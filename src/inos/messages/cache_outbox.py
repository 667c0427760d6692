"""The outbox of a cache: which messages a hub has not got yet, and what becomes of those that were sent.

    pending -> (sending) -> acked -> settled          a hub has it -> it would outlive that hub
                         -> failed ("parked")         a hub refuses it: kept, shown, `retry` or `drop`

`sending` is not written down: it is what the one batch in flight holds, and after a crash those are pending, for their
second arrival does no harm. Each answer is one synced transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from inos.core.errors import InosError, NotFound, from_wire
from inos.core.messages.ids import MessageId, check_ids, from_bytes, parse_id
from inos.core.messages.sync import MAX_BATCH, Ack
from inos.messages.cache_rows import fact, row_of_id, run, run_many, set_fact
from inos.messages.cache_schema import HUB
from inos.messages.sending import BATCH_ROOM_BYTES, Waiting, fitting, settlement
from inos.messages.stored_form import unpack
from inos.store.cursor import Cursor, first, one
from inos.store.database import Database

Status = Literal["pending", "sending", "acked", "settled", "failed"]
_MAX_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class OutboxCounts:
    """How many messages are where. `oldest_ms`: the time of the oldest pending one, None when none is; `uncovered`: a
    hub has them and may still lose them."""

    pending: int
    parked: int
    uncovered: int
    oldest_ms: int | None


@dataclass(frozen=True, slots=True)
class OutboxState:
    """What there is to do: whether anything is pending, whether a hub has anything that it may still lose, and up to
    where the hub that answered last has covered."""

    pending: bool
    uncovered: bool
    covered_seq: int


@dataclass(frozen=True, slots=True)
class Parked:
    """A message that a hub refused, and why."""

    id: MessageId
    parked_ms: int
    error: InosError


class Outbox:
    """The outbox of an agent's cache. Blocking, safe from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sending: frozenset[int] = frozenset()
        self.hub = database.read(_last_hub)
        """The identity of the hub that answered last, "" before the first."""

    def take(self, most: int = MAX_BATCH, most_bytes: int = BATCH_ROOM_BYTES) -> tuple[Waiting, ...]:
        """The oldest pending messages, in order, as many as fit; they are `sending` until the next `take`."""
        sql = "SELECT o.seq, m.id, m.body FROM outbox AS o JOIN messages AS m ON m.seq = o.seq ORDER BY o.seq LIMIT ?"
        taken = self._take(sql, most, most_bytes)
        self._sending = frozenset(each.seq for each in taken)
        return taken

    def take_uncovered(self) -> tuple[Waiting, ...]:
        """The oldest message that a hub has and may still lose: sent again, it brings news of that hub."""
        sql = "SELECT s.seq, m.id, m.body FROM sent AS s JOIN messages AS m ON m.seq = s.seq ORDER BY s.seq LIMIT ?"
        return self._take(sql, 1, BATCH_ROOM_BYTES)

    def _take(self, sql: str, most: int, most_bytes: int) -> tuple[Waiting, ...]:
        def work(cursor: Cursor) -> tuple[Waiting, ...]:
            waiting = (Waiting(seq, from_bytes(i), unpack(body)) for seq, i, body in cursor.execute(sql, (most,)))
            return tuple(fitting(waiting, most_bytes))

        return self._database.read(work)

    def settle(self, batch: Sequence[Waiting], ack: Ack, now_ms: int) -> int:
        """Do what a hub's answer to `batch` says; how many of the batch left the outbox. Raises Unavailable for an
        answer that is none to this batch."""
        done = settlement(batch, self.hub, ack)

        def work(cursor: Cursor) -> None:
            hub = _hub_number(cursor, ack.hub)
            _requeue_others(cursor, hub)
            covered = _cover(cursor, hub, ack.covered_seq)
            gone = [(seq,) for seq, _ in done.taken]
            run_many(cursor, "DELETE FROM outbox WHERE seq = ?", gone)
            run_many(cursor, "DELETE FROM sent WHERE seq = ?", gone)
            kept = [(seq, hub, hub_seq) for seq, hub_seq in done.taken if hub_seq > covered]
            run_many(cursor, "INSERT INTO sent VALUES (?, ?, ?)", kept)
            for seq, error in done.refused:
                _park(cursor, seq, error, now_ms)

        self._database.write(work)
        self._sending, self.hub = frozenset(), ack.hub
        return len(done.taken) + len(done.refused)

    def park(self, seq: int, error: InosError, now_ms: int) -> None:
        """Set a message aside that no hub takes."""
        self._database.write(lambda cursor: _park(cursor, seq, error, now_ms))
        self._sending = frozenset()

    def parked(self, limit: int = MAX_BATCH) -> list[Parked]:
        """The oldest messages that were set aside."""
        sql = (
            "SELECT m.id, p.at_ms, p.code, p.message, p.hint FROM parked AS p JOIN messages AS m ON m.seq = p.seq"
            " ORDER BY p.seq LIMIT ?"
        )

        def work(cursor: Cursor) -> list[Parked]:
            rows = cursor.execute(sql, (limit,))
            return [Parked(from_bytes(i), at, from_wire(code, text, hint)) for i, at, code, text, hint in rows]

        return self._database.read(work)

    def retry(self, ids: Sequence[str] = ()) -> int:
        """Make parked messages pending again, all of them when none is named; how many. NotFound."""
        return self._unpark(check_ids(ids), again=True)

    def drop(self, ids: Sequence[str]) -> int:
        """Give up sending parked messages: they stay here as long as there is room, and go nowhere. NotFound."""
        wanted = check_ids(ids)
        return self._unpark(wanted, again=False) if wanted else 0

    def _unpark(self, wanted: Sequence[MessageId], *, again: bool) -> int:
        def work(cursor: Cursor) -> int:
            seqs = [_parked_seq(cursor, each) for each in dict.fromkeys(wanted)]
            if not wanted:
                seqs = [row[0] for row in cursor.execute("SELECT seq FROM parked ORDER BY seq")]
            for seq in seqs:
                run(cursor, "DELETE FROM parked WHERE seq = ?", (seq,))
                if again:
                    run(cursor, "INSERT INTO outbox VALUES (?)", (seq,))
            return len(seqs)

        return self._database.write(work)

    def status(self, message_id: str) -> Status:
        """Where a message of the agent's own stands. NotFound."""
        wanted = parse_id(message_id)

        def work(cursor: Cursor) -> Status:
            row = row_of_id(cursor, wanted)
            if row is None:
                raise NotFound(f"no message {wanted} in this cache")
            for table, status in _STATUS_OF.items():
                if first(cursor.execute(f"SELECT 1 FROM {table} WHERE seq = ?", (row[0],))):
                    return "sending" if status == "pending" and row[0] in self._sending else status
            return "settled"

        return self._database.read(work)

    def state(self) -> OutboxState:
        """What there is to do. Cheap, however much that is."""

        def work(cursor: Cursor) -> OutboxState:
            pending, uncovered = (
                first(cursor.execute(f"SELECT 1 FROM {table} LIMIT 1")) is not None for table in ("outbox", "sent")
            )
            row = first(cursor.execute("SELECT covered FROM hubs WHERE number = ?", (fact(cursor, HUB),)))
            return OutboxState(pending, uncovered, row[0] if row else 0)

        return self._database.read(work)

    def counts(self) -> OutboxCounts:
        """How many messages are where. Counts them."""

        def work(cursor: Cursor) -> OutboxCounts:
            pending, parked, sent = (
                int(one(cursor.execute(f"SELECT count(*) FROM {table}"))[0]) for table in ("outbox", "parked", "sent")
            )
            sql = "SELECT time_ms FROM messages WHERE seq = (SELECT min(seq) FROM outbox)"
            oldest = first(cursor.execute(sql))
            return OutboxCounts(pending, parked, sent, oldest[0] if oldest else None)

        return self._database.read(work)


_STATUS_OF: Final[dict[str, Status]] = {"outbox": "pending", "sent": "acked", "parked": "failed"}


def _last_hub(cursor: Cursor) -> str:
    row = first(cursor.execute("SELECT identity FROM hubs WHERE number = ?", (fact(cursor, HUB),)))
    return row[0] if row else ""


def _hub_number(cursor: Cursor, identity: str) -> int:
    run(cursor, "INSERT OR IGNORE INTO hubs (identity, covered) VALUES (?, 0)", (identity,))
    return int(one(cursor.execute("SELECT number FROM hubs WHERE identity = ?", (identity,)))[0])


def _requeue_others(cursor: Cursor, hub: int) -> None:
    """What another hub had, and would have lost with itself, goes out again."""
    if fact(cursor, HUB) == hub:
        return
    set_fact(cursor, HUB, hub)
    run(cursor, "INSERT OR IGNORE INTO outbox SELECT seq FROM sent WHERE hub != ?", (hub,))
    run(cursor, "DELETE FROM sent WHERE hub != ?", (hub,))


def _cover(cursor: Cursor, hub: int, covered: int) -> int:
    known = int(one(cursor.execute("SELECT covered FROM hubs WHERE number = ?", (hub,)))[0])
    if covered > known:
        run(cursor, "UPDATE hubs SET covered = ? WHERE number = ?", (covered, hub))
        run(cursor, "DELETE FROM sent WHERE hub = ? AND hub_seq <= ?", (hub, covered))
    return max(known, covered)


def _park(cursor: Cursor, seq: int, error: InosError, now_ms: int) -> None:
    run(cursor, "DELETE FROM outbox WHERE seq = ?", (seq,))
    run(cursor, "DELETE FROM sent WHERE seq = ?", (seq,))
    said = (error.code, error.message[:_MAX_ERROR], error.hint[:_MAX_ERROR])
    run(cursor, "INSERT OR REPLACE INTO parked VALUES (?, ?, ?, ?, ?)", (seq, now_ms, *said))


def _parked_seq(cursor: Cursor, wanted: MessageId) -> int:
    row = row_of_id(cursor, wanted)
    if row is None or first(cursor.execute("SELECT 1 FROM parked WHERE seq = ?", (row[0],))) is None:
        raise NotFound(f"no parked message {wanted}", hint="`parked` lists those that are")
    return int(row[0])
