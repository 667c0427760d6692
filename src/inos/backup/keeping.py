"""Which snapshots a rule keeps. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final

from inos.core.backups import FUTURE, KeepRules

_SLOTS: Final[Mapping[str, Callable[[datetime], object]]] = {
    "daily": lambda moment: moment.date(),
    "weekly": lambda moment: moment.isocalendar()[:2],
    "monthly": lambda moment: (moment.year, moment.month),
    "yearly": lambda moment: moment.year,
}


@dataclass(frozen=True, slots=True)
class Moment:
    """A snapshot as a rule sees it; `node` tells the machines apart that share a place."""

    snapshot: str
    created_ms: int
    node: str


def kept_for(
    moments: Iterable[Moment], rules: KeepRules, zone: tzinfo | None, now_ms: int
) -> dict[str, tuple[str, ...]]:
    """The snapshots to keep, and which rules keep each. Of each node: the last ones, and the last one of each of the
    last days, weeks (from Monday), months and years that have any, by the calendar of `zone` (None: this machine's).
    Without any rule all are kept. One dated after `now_ms`, by a clock that was wrong, is kept (FUTURE) and counts for
    no rule: it would take the place of what really is the last."""
    by_node: dict[str, list[Moment]] = defaultdict(list)
    for moment in moments:
        by_node[moment.node].append(moment)
    reasons: dict[str, list[str]] = defaultdict(list)
    for some in by_node.values():
        ordered = sorted(some, key=lambda moment: (-moment.created_ms, moment.snapshot))
        if rules.any:
            reasons |= {moment.snapshot: [FUTURE] for moment in ordered if moment.created_ms > now_ms}
            ordered = [moment for moment in ordered if moment.created_ms <= now_ms]
        for rule, kept in _by_rule(ordered, rules, zone).items():
            for snapshot in kept:
                reasons[snapshot].append(rule)
    return {snapshot: tuple(rules) for snapshot, rules in reasons.items()}


def _by_rule(ordered: Sequence[Moment], rules: KeepRules, zone: tzinfo | None) -> dict[str, list[str]]:
    if not rules.any:
        return {"all": [moment.snapshot for moment in ordered]}
    kept = {"last": [moment.snapshot for moment in ordered[: rules.last]]}
    for rule, slot_of in _SLOTS.items():
        newest: dict[object, str] = {}
        for moment in ordered:
            slot = slot_of(datetime.fromtimestamp(moment.created_ms / 1000, zone).astimezone(zone))
            if slot in newest or len(newest) < getattr(rules, rule):
                newest.setdefault(slot, moment.snapshot)
        kept[rule] = list(newest.values())
    return kept
