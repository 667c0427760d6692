"""Who has all that this node has, by what both say: pure bookkeeping."""

from __future__ import annotations

from types import MappingProxyType

from inos.replication.table_likeness import SAID_S, SPREAD_S, Likeness, digest_of
from inos.testing.env import SimEnv

A, B = b"a" * 32, b"b" * 32
SOME = MappingProxyType({3: bytes(32), 7: b"r" * 32})
OTHER = MappingProxyType({3: bytes(32), 7: b"s" * 32})


class Clock(SimEnv):
    def __init__(self) -> None:
        super().__init__(1)
        self.at_s = 0.0

    def monotonic_s(self) -> float:
        return self.at_s


def looked() -> tuple[Likeness, Clock]:
    clock = Clock()
    likeness = Likeness(clock)
    assert likeness.look({"t": SOME}, likeness.changes)
    return likeness, clock


def test_the_digest_is_over_tables_sectors_and_roots() -> None:
    said = digest_of({"t": SOME, "u": {}})
    assert said == digest_of({"u": {}, "t": dict(reversed(list(SOME.items())))})
    assert len({said, digest_of({"t": SOME}), digest_of({"t": OTHER, "u": {}}), digest_of({"t": {}, "u": SOME})}) == 4


def test_whoever_says_the_same_is_alike_for_a_while() -> None:
    likeness, clock = looked()
    assert not likeness.alike(A)
    likeness.hear(A, likeness.ours)
    likeness.hear(B, bytes(32))
    assert likeness.alike(A) and not likeness.alike(B)
    clock.at_s = SAID_S + 1
    assert not likeness.alike(A)


def test_nobody_is_alike_while_this_node_does_not_know_what_it_has() -> None:
    likeness, _ = looked()
    likeness.hear(A, likeness.ours)
    before = likeness.changes
    likeness.changed()
    assert likeness.ours == b"" and not likeness.alike(A)
    assert not likeness.look({"t": SOME}, before)  # begun before it changed
    assert not likeness.alike(A)
    assert not likeness.look({"t": SOME}, likeness.changes)  # what came was known
    assert likeness.alike(A)
    assert likeness.look({"t": OTHER}, likeness.changes)
    assert not likeness.alike(A)


def test_what_was_compared_stays_so_until_either_says_something_else() -> None:
    likeness, _ = looked()
    likeness.hear(A, bytes(32))
    likeness.compared(A, likeness.ours, likeness.said_by(A))
    assert likeness.alike(A)
    likeness.hear(A, b"x" * 32)
    assert not likeness.alike(A)
    likeness.hear(A, bytes(32))
    assert likeness.alike(A)
    likeness.compared(A, b"", bytes(32))
    assert not likeness.alike(A)


def test_only_what_is_said_after_a_change_has_spread_is_a_difference() -> None:
    likeness, clock = looked()
    likeness.changed()
    likeness.look({"t": OTHER}, likeness.changes)
    likeness.hear(A, bytes(32))
    assert not likeness.alike(A) and not likeness.differs(A)
    assert likeness.differs(B)  # it says nothing, so who knows
    clock.at_s = SPREAD_S + 0.1
    assert not likeness.differs(A)  # it was said before
    likeness.hear(A, bytes(32))
    likeness.hear(B, likeness.ours)
    assert likeness.differs(A) and not likeness.differs(B)
    likeness.compared(A, likeness.ours, likeness.said_by(A))
    assert not likeness.differs(A)
    likeness.hear(A, b"")
    assert not likeness.differs(A) and likeness.said_by(A) == b""
    clock.at_s += SAID_S + 1
    assert likeness.differs(A) and likeness.differs(B)


def test_whoever_never_says_what_it_has_differs_with_every_beat() -> None:
    likeness, _ = looked()
    likeness.hear(A, b"")
    assert likeness.differs(A)  # an older release
    likeness.hear(A, likeness.ours)
    likeness.hear(A, b"")
    assert not likeness.differs(A)  # one that is about to say it
    likeness.doubt(A)  # it went, and did not come back
    likeness.keep_only({B: None})
    likeness.hear(A, b"")
    assert likeness.differs(A)


def test_what_was_compared_counts_no_more_when_the_places_change() -> None:
    likeness, _ = looked()
    likeness.hear(A, bytes(32))
    likeness.compared(A, likeness.ours, likeness.said_by(A))
    assert likeness.alike(A)
    likeness.assigned_anew()
    assert not likeness.alike(A)


def test_an_empty_word_a_doubt_and_a_lost_membership_end_it() -> None:
    for end in (lambda one: one.hear(A, b""), lambda one: one.doubt(A), lambda one: one.keep_only({B: None})):
        likeness, _ = looked()
        likeness.hear(A, likeness.ours)
        end(likeness)
        assert not likeness.alike(A)
