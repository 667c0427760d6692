"""The holdings of this node in the forms that holding, repair and collection ask for. Calls block."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Final

from inos.core.env import Env
from inos.core.ids import Cid
from inos.replication.collect import HoldingRow
from inos.replication.placement import Placement
from inos.store.holdings import Holding, Holdings, HoldingState

_PAGE: Final = 1000


class HoldingBook:
    """Over the `holdings` table. Before `kept_until_s`, by the wall clock, what a rebuilt table has not can have been
    here all the same."""

    def __init__(self, holdings: Holdings, env: Env, kept_until_s: float = 0.0) -> None:
        self._holdings = holdings
        self._env = env
        self._kept_until_s = kept_until_s
        self._changed: deque[Cid] = deque()  # its ends are safe to use from several threads

    def changed(self, cid: Cid) -> None:
        """The placement of this object has changed, or its holding."""
        self._changed.append(cid)

    def take_changed(self) -> list[Cid]:
        """Objects whose holding or placement has changed since this was last asked."""
        return [self._changed.popleft() for _ in range(len(self._changed))]

    def attach_all(self, placements: Sequence[Placement], begun: Collection[Cid]) -> None:
        """Remember that this node holds these objects (or still does, at this epoch), and that the manifests of those
        in `begun` are here."""
        now_s = self._env.now_s()
        if now_s < self._kept_until_s:
            begun = {one.cid for one in placements}
        rows = [
            Holding(one.cid, one.epoch, HoldingState.HELD, one.size, int(now_s), begun=one.cid in begun)
            for one in placements
            if not self._is_held(one, one.cid in begun)
        ]
        if rows:
            self._holdings.save(rows)
            self._changed.extend(row.cid for row in rows)

    def holds(self, cid: Cid) -> bool:
        """Whether this node holds the object, or did and has not let go of it yet."""
        return self._holdings.get(cid) is not None

    def begin(self, cid: Cid) -> None:
        """Remember that the object's manifest is here, where it is to be held."""
        holding = self._holdings.get(cid)
        if holding is not None and not holding.begun:
            self._holdings.save([replace(holding, begun=True)])

    def _is_held(self, placement: Placement, begun: bool) -> bool:
        holding = self._holdings.get(placement.cid)
        if holding is None or (begun and not holding.begun):
            return False
        return holding.state is HoldingState.HELD and holding.epoch == placement.epoch

    def cids(self) -> Iterator[Cid]:
        """Every object held."""
        for holding in self._all():
            yield holding.cid

    def rows(self) -> Iterator[HoldingRow]:
        """Every holding, with when it was dropped."""
        for holding in self._all():
            yield HoldingRow(holding.cid, holding.dropped_at_s, holding.begun)

    def drop(self, cid: Cid, at_s: float) -> None:
        """Note that the holding is to end."""
        holding = self._holdings.get(cid)
        if holding is not None:
            self._holdings.save([replace(holding, state=HoldingState.DROPPING, dropped_at_s=int(at_s))])

    def keep(self, cid: Cid) -> None:
        """Take that note back."""
        holding = self._holdings.get(cid)
        if holding is not None:
            self._holdings.save([replace(holding, state=HoldingState.HELD, dropped_at_s=None)])

    def remove(self, cids: Sequence[Cid]) -> None:
        """End these holdings, unless they were taken up again meanwhile."""
        self._holdings.forget(cids)

    def count(self) -> int:
        """Objects held."""
        return self._holdings.count_held()

    def _all(self) -> Iterator[Holding]:
        after: Cid | None = None
        while page := self._holdings.page(after, _PAGE):
            yield from page
            after = page[-1].cid
