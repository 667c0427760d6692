"""Which surplus a node keeps, and what goes first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inos.replication.warm import USES_HALVE_S, Surplus, WarmRules, kept, used_again, worth

NOW_S = 1_000_000.0
DAY_S = 86_400.0
PLAIN = Surplus(10_000_000, NOW_S - 3600, 2.0, 4, shards=False)

objects = st.builds(
    Surplus,
    size_bytes=st.integers(0, 10**9),
    used_at_s=st.floats(0, NOW_S + 10),
    uses=st.floats(0, 100),
    holders=st.integers(0, 20),
    shards=st.booleans(),
    pinned=st.booleans(),
)


def better(**changes: object) -> float:
    from dataclasses import replace

    return worth(replace(PLAIN, **changes), NOW_S) / worth(PLAIN, NOW_S)  # type: ignore[arg-type]


def test_what_makes_surplus_worth_keeping() -> None:
    assert better(used_at_s=NOW_S - 60) > 1 > better(used_at_s=NOW_S - DAY_S)
    assert better(uses=10.0) > 1 > better(uses=0.0)
    assert better(size_bytes=1_000) > 1 > better(size_bytes=10**9)
    assert better(holders=1) > 1 > better(holders=20)
    assert better(shards=True) > 1


def test_light_nodes_let_go_after_a_day_and_dedicated_ones_when_room_is_wanted() -> None:
    surplus = {
        "fresh": Surplus(1000, NOW_S - 100, 1, 4, shards=False),
        "old": Surplus(1000, NOW_S - DAY_S - 1, 50, 4, shards=False),
        "pinned": Surplus(1000, NOW_S - 9 * DAY_S, 0, 4, shards=False, pinned=True),
    }
    assert kept(surplus, WarmRules(DAY_S), None, NOW_S) == {"fresh", "pinned"}
    assert kept(surplus, WarmRules(None), None, NOW_S) == {"fresh", "old", "pinned"}
    assert kept(surplus, WarmRules(0.0), None, NOW_S) == {"pinned"}
    assert kept(surplus, WarmRules(None), 2000, NOW_S) == {"fresh", "pinned"}
    assert kept(surplus, WarmRules(None), 0, NOW_S) == {"pinned"}


@given(st.dictionaries(st.integers(0, 50), objects), st.integers(0, 10**10), st.sampled_from([0.0, DAY_S, None]))
def test_what_is_kept_fits_and_pins_stay(surplus: dict[int, Surplus], room: int, keep_s: float | None) -> None:
    stay = kept(surplus, WarmRules(keep_s), room, NOW_S)
    pinned = {key for key, one in surplus.items() if one.pinned}
    assert pinned <= stay <= set(surplus)
    pinned_bytes = sum(surplus[key].size_bytes for key in pinned)
    assert sum(surplus[key].size_bytes for key in stay) <= max(room, pinned_bytes)
    more = kept(surplus, WarmRules(keep_s), None, NOW_S)
    assert stay <= more


def test_uses_fade() -> None:
    assert used_again(0.0, 0.0) == 1.0
    assert used_again(4.0, USES_HALVE_S) == 3.0
    assert used_again(4.0, -5.0) == 5.0
