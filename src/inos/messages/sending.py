"""What an outbox sends next, what an answer does, and how long to wait: plain functions of what is known. No effects.

Order is kept because one batch is in flight at a time and the next begins with the oldest message that waits. A batch
that a hub will not take as it is (bad_input, too_large) is halved until the culprit is alone; that one is parked after
`retry_max` refusals and the rest goes on, in ever larger batches again. Any other failure is the hub's or the
network's: all stays pending, for as long as it takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from inos.core.errors import BadInput, Busy, InosError, TooLarge, Unavailable
from inos.core.messages.ids import MessageId
from inos.core.messages.message import canonical
from inos.core.messages.sync import MAX_BATCH, MAX_BATCH_BYTES, Ack

# What is left for messages beside the names of the batch and its node.
BATCH_ROOM_BYTES: Final = MAX_BATCH_BYTES - 4096
# A hub that restarts is back in a second or two: the first tries come quickly.
FIRST_PAUSE_S: Final = 0.25
MAX_PAUSE_S: Final = 30.0
# With this many waiting the pause is no longer than the interval, whatever the backoff says.
URGENT: Final = 100
_LARGEST_POWER: Final = 64
_NOBODY: Final = InosError("the hub gave no reason")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message in the outbox: its place, its id, its JSON."""

    seq: int
    id: MessageId
    encoded: bytes


@dataclass(frozen=True, slots=True)
class Pace:
    """How an agent sends. `interval_s`: how often it looks for news of its hub when nothing else happens, and the
    longest pause when much is waiting; `backoff_base`: by what each pause outgrows the one before."""

    batch_size: int = MAX_BATCH
    interval_s: float = 5.0
    retry_max: int = 3
    backoff_base: float = 2.0


@dataclass(frozen=True, slots=True)
class Course:
    """How it has been going: the size of the next batch; failures in a row; how often the message that is now alone in
    its batch was refused; looks for news in a row that brought none, below 0 before the first answer of all; whether
    the last answer was that of another hub than the batch was meant for; how long the hub asked to be left alone."""

    most: int = MAX_BATCH
    failures: int = 0
    alone: int = 0
    quiet: int = 0
    moved: bool = False
    asked_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Settlement:
    """What an answer says: (seq, seq on the hub) of what it has, (seq, why not) of what it refuses."""

    taken: tuple[tuple[int, int], ...]
    refused: tuple[tuple[int, InosError], ...]


def begin(pace: Pace) -> Course:
    """Before anything was sent."""
    return Course(most=pace.batch_size, quiet=-1)


def fitting(waiting: Iterable[Waiting], most_bytes: int) -> Iterator[Waiting]:
    """The first ones, as far as their JSON fits into one batch; at least one."""
    total = 0
    for number, each in enumerate(waiting):
        total += len(each.encoded) + 1
        if number and total > most_bytes:
            return
        yield each


def batch_body(name: str, node: str, hub: str, batch: Sequence[Waiting]) -> bytes:
    """The batch as core/messages/sync.py has it, put together from JSON that is there already. `hub` is the identity
    that answered last."""
    said = {"batch": name, "hub": hub} if hub else {"batch": name}
    head, tail = canonical("batch", said)[:-1], canonical("batch", {"node": node})[1:]
    return b"".join((head, b',"messages":[', b",".join(each.encoded for each in batch), b"],", tail))


def has_moved(told: str, ack: Ack) -> bool:
    """Whether another hub than the one called `told` answered, and stored nothing."""
    return not ack.results and bool(ack.hub) and ack.hub != told


def settlement(batch: Sequence[Waiting], told: str, ack: Ack) -> Settlement:
    """What `ack` says of `batch`, which was meant for the hub `told`. Raises Unavailable when it is no answer to it:
    then nothing of it may be believed."""
    if has_moved(told, ack):
        return Settlement((), ())
    if len(ack.results) != len(batch) or not ack.hub:
        raise Unavailable("the hub's answer does not fit what was sent", hint="is its release newer or older?")
    taken, refused = [], []
    for each, result in zip(batch, ack.results, strict=True):
        if result.fate == "refused":
            refused.append((each.seq, result.error or _NOBODY))
        elif result.id != each.id:
            raise Unavailable("the hub's answer is about other messages", hint="is its release newer or older?")
        else:
            taken.append((each.seq, result.seq))
    return Settlement(tuple(taken), tuple(refused))


def after_answer(course: Course, pace: Pace, *, moved: bool = False) -> Course:
    """A hub answered: batches may grow again. Two in turn that both say they are the hub are waited for like a
    failure."""
    if moved:
        return replace(course, moved=True, failures=course.failures + 1 if course.moved else 0)
    return Course(most=min(pace.batch_size, course.most * 2))


def after_news(course: Course, *, any_new: bool) -> Course:
    """A look for news of the hub was answered."""
    return replace(course, failures=0, moved=False, quiet=0 if any_new else max(0, course.quiet) + 1)


def after_failure(course: Course, pace: Pace, error: InosError, count: int) -> tuple[Course, bool]:
    """A batch of `count` messages was not taken; whether its message, alone in it, is to be parked."""
    if not isinstance(error, BadInput | TooLarge):
        asked_s = error.retry_after_s if isinstance(error, Busy) else 0.0
        return replace(course, failures=course.failures + 1, asked_s=asked_s), False
    course = replace(course, asked_s=0.0)
    if count > 1:
        return replace(course, most=(count + 1) // 2, failures=0, alone=0), False
    if course.alone + 1 >= pace.retry_max:
        return Course(most=2), True
    return replace(course, most=1, failures=course.failures + 1, alone=course.alone + 1), False


def pause_s(course: Course, pace: Pace, waiting: int, chance: float) -> float:
    """How long to wait before the next try; 0 when nothing has failed. `chance` (0 to 1) spreads the tries of many.
    Not less than the hub asked for, within MAX_PAUSE_S."""
    if not course.failures:
        return 0.0
    power = min(course.failures - 1, _LARGEST_POWER)
    most_s = min(MAX_PAUSE_S, pace.interval_s) if waiting >= URGENT else MAX_PAUSE_S
    backoff_s = min(most_s, FIRST_PAUSE_S * pace.backoff_base**power) * (0.5 + chance / 2)
    return float(max(backoff_s, min(MAX_PAUSE_S, course.asked_s)))


def news_pause_s(course: Course, pace: Pace, *, any_uncovered: bool) -> float | None:
    """How long an idle outbox waits before it asks its hub for news; None when there is nothing to hear about. Whoever
    has just been opened asks at once: the hub may have been lost meanwhile."""
    if not any_uncovered:
        return None
    if course.quiet < 0:
        return 0.0
    return float(min(max(MAX_PAUSE_S, pace.interval_s), pace.interval_s * 2 ** min(course.quiet, _LARGEST_POWER)))
