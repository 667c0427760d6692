"""Device profiles: how much of its disk a node offers to the mesh (row ST6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from inos.core.errors import BadInput

GB: Final = 10**9


@dataclass(frozen=True, slots=True)
class Profile:
    """`quota_bytes` bounds the chunks a node keeps."""

    name: str
    quota_bytes: int


PROFILES: Final = {
    profile.name: profile
    for profile in (Profile("light", 5 * GB), Profile("heavy", 100 * GB), Profile("dedicated", 500 * GB))
}


def profile_named(name: str) -> Profile:
    """Raises BadInput."""
    try:
        return PROFILES[name]
    except KeyError:
        raise BadInput(f"there is no profile {name!r}", hint=f"profiles: {', '.join(PROFILES)}") from None
