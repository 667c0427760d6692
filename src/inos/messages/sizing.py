"""How large an agent's cache may grow: a base and a share of the model's context window, both by the agent's role.

    max_bytes = base + context_tokens / 1000 * scale

A larger context holds more messages at work. The numbers are decimal megabytes. Anyone may set `max_bytes` instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from inos.core.errors import BadInput

MB: Final = 1_000_000
# Less holds no batch of long messages beside its log; more than a disk of today has is a mistake of units.
MIN_CACHE_BYTES: Final = 4 * MB
MAX_CACHE_BYTES: Final = 100_000_000 * MB
MAX_CONTEXT_TOKENS: Final = 100_000_000


@dataclass(frozen=True, slots=True)
class RoleSize:
    """What a role needs: bytes to begin with, bytes for each 1,000 tokens, and the context window it usually has."""

    base_bytes: int
    bytes_per_1k_tokens: int
    context_tokens: int


DEFAULT_ROLE: Final = "default"
ROLE_SIZES: Final[Mapping[str, RoleSize]] = {
    "commander": RoleSize(100 * MB, MB // 2, 32_000),
    "recruiter": RoleSize(2_000 * MB, 2 * MB, 32_000),
    "reasoner": RoleSize(500 * MB, MB, 128_000),
    "coder": RoleSize(1_000 * MB, 3 * MB // 2, 64_000),
    "synthesizer": RoleSize(300 * MB, 3 * MB // 4, 32_000),
    # An agent of any other role: between the smallest and the largest, for nobody should have to name a size.
    DEFAULT_ROLE: RoleSize(250 * MB, MB, 32_000),
}


def cache_bytes(role: str, context_tokens: int | None = None) -> int:
    """The bytes that a cache of an agent of `role` may take up; a role that is not listed counts as `default`.
    `context_tokens` None: the window that the role usually has. Raises BadInput."""
    size = ROLE_SIZES.get(role, ROLE_SIZES[DEFAULT_ROLE])
    tokens = size.context_tokens if context_tokens is None else context_tokens
    if not 0 <= tokens <= MAX_CONTEXT_TOKENS:
        raise BadInput(f"context_tokens must be a whole number from 0 to {MAX_CONTEXT_TOKENS}")
    return size.base_bytes + tokens * size.bytes_per_1k_tokens // 1000
