"""Which of two versions of one key holds: the greatest by (lamport, removed, encoded bytes).

A total order over everything that can be stored, so merging is commutative, associative and idempotent: replicas that
saw the same records in any order, any number of times, are equal byte for byte. At one logical time a removal beats a
change. The last word goes to the whole encoded form, not to the body: one body may carry two valid signatures, and
replicas that kept different ones would compare as different for ever.
"""

from __future__ import annotations

from collections.abc import Iterable

from inos.state.record import Record

Precedence = tuple[int, bool, bytes]


def precedence(record: Record) -> Precedence:
    """What versions of one key are ordered by; equal only for equal bytes."""
    return record.lamport, record.removed, record.encoded


def supersedes(new: Record, old: Record | None) -> bool:
    """Whether `new` replaces `old`. False for the very same record."""
    return old is None or precedence(new) > precedence(old)


def newest(versions: Iterable[Record | None]) -> Record | None:
    """The version that holds among those seen of one key; None when none was seen."""
    return max((version for version in versions if version is not None), key=precedence, default=None)
