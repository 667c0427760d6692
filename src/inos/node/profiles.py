"""Device profiles: how much of its disk a node may take up, and what it keeps that it need not (row ST6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from inos.core.errors import BadInput
from inos.replication.warm import WarmRules

MB, GB = 10**6, 10**9
DAY_S: Final = 86400.0


@dataclass(frozen=True, slots=True)
class Quotas:
    """Bytes of the disk that each tier may take up: hot, the database and its log; cold, the chunk files."""

    hot_bytes: int
    cold_bytes: int


@dataclass(frozen=True, slots=True)
class Profile:
    name: str
    quotas: Quotas
    warm: WarmRules


PROFILES: Final = {
    profile.name: profile
    for profile in (
        Profile("light", Quotas(512 * MB, 5 * GB), WarmRules(keep_unused_s=DAY_S)),
        Profile("heavy", Quotas(4 * GB, 100 * GB), WarmRules(keep_unused_s=7 * DAY_S)),
        Profile("dedicated", Quotas(16 * GB, 500 * GB), WarmRules(keep_unused_s=None, keeps_reads=True)),
    )
}


def profile_named(name: str) -> Profile:
    """Raises BadInput."""
    try:
        return PROFILES[name]
    except KeyError:
        raise BadInput(f"there is no profile {name!r}", hint=f"profiles: {', '.join(PROFILES)}") from None
