"""Storms over machines that have little room: what was acknowledged stays readable and gets whole again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from inos.core.ids import Cid
from inos.node.tiers import Tiers
from inos.sim.plan import STORM_SETTINGS, storm
from inos.sim.play import play

LENGTH_S = 240.0


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_acknowledged_is_lost_by_evicting(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    evicted: list[Cid] = []
    settled = Tiers.settled

    def counted(self: Tiers, kept_bytes: int, gone: Sequence[Cid]) -> None:
        evicted.extend(gone)
        settled(self, kept_bytes, gone)

    monkeypatch.setattr(Tiers, "settled", counted)
    settings = replace(STORM_SETTINGS, seed=seed, nodes=10, quota_bytes=1_600_000, keep_unused_s=40.0)
    play(storm(settings, LENGTH_S), LENGTH_S).check()
    assert len(evicted) > 5, "the storm was to show eviction"
