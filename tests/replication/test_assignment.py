"""Who keeps what, however the members came to be: the same as worked out from nothing."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from inos.crypto.hashing import blake3_digest
from inos.replication.table_view import Assignment, Place
from inos.state.sectors import MANY_MEMBERS, replicas
from inos.testing.table_mesh import SPECS

NODES = [blake3_digest(b"node %d" % number) for number in range(MANY_MEMBERS + 6)]
ME = NODES[0]
EXTRA = Place(SPECS[0].name, 5)


class View:
    """Members as a test says."""

    def __init__(self) -> None:
        self.now: dict[bytes, float] = {}

    @property
    def me(self) -> bytes:
        return ME

    def members(self) -> Mapping[bytes, float]:
        return self.now

    def alive(self, _node: bytes) -> bool:
        return True

    def alive_members(self) -> list[bytes]:
        return [ME, *(node for node in self.now if node != ME)]


def assignment(view: View) -> Assignment:
    return Assignment(
        view, {spec.name: spec for spec in SPECS}, lambda *place: Place(*place) == EXTRA, lambda _table: False
    )


MEMBERS = st.dictionaries(st.sampled_from(NODES), st.sampled_from([1.0, 1.0, 1.0, 2.0]), max_size=len(NODES))


@given(st.lists(MEMBERS, min_size=1, max_size=6))
@settings(max_examples=60)
def test_replicas_do_not_depend_on_the_way_here(history: list[dict[bytes, float]]) -> None:
    view = View()
    known = assignment(view)
    for members in history:
        view.now = members
        known.refresh()
        fresh = assignment(view)
        fresh.refresh()
        assert known.held() == fresh.held()
        for place in known.held():
            if not known.is_everywhere(place):
                assert list(known.replicas(place)) == replicas(*place, members)


def test_members_that_come_and_go_one_by_one_change_only_what_they_keep() -> None:
    view = View()
    known = assignment(view)
    steps = [NODES[:count] for count in range(1, len(NODES))]
    for before, after in pairwise([*steps, *reversed(steps)]):
        view.now = dict.fromkeys(before, 1.0)
        known.refresh()
        assert EXTRA in known.held()
        view.now = dict.fromkeys(after, 1.0)
        known.refresh()
        for sector in range(64):
            place = Place(EXTRA.table, sector)
            assert list(known.replicas(place)) == replicas(*place, view.now)
