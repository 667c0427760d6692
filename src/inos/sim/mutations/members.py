"""Faults in membership: who is let in, and who is thrown out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from inos.core.ids import PeerId
from inos.mesh.admission import MemberAdmission
from inos.sim.mutations.mutation import Mutation, replaced
from inos.sim.script import Script, cluster
from inos.state.membership import Membership
from inos.state.record import Record


@contextmanager
def _ignore_revocation() -> Iterator[None]:
    """A revocation is kept and handed on, and nobody acts on it."""

    def apply_revocation(self: Membership, record: Record) -> bool:
        return False

    with replaced(Membership, "apply_revocation", apply_revocation):
        yield


def _one_is_revoked(seed: int) -> tuple[Script, float]:
    return cluster(5, seed=seed).put("letter", 1_000, "a").wait(seconds=10).revoke("b", "a"), 90


@contextmanager
def _serve_strangers() -> Iterator[None]:
    """Whoever connects is served like a member."""

    def admits(self: MemberAdmission, peer: PeerId) -> bool:
        return True

    with replaced(MemberAdmission, "admits", admits):
        yield


def _a_stranger_comes(seed: int) -> tuple[Script, float]:
    return cluster(5, seed=seed).put("letter", 1_000, "a").wait(seconds=10).stranger("b"), 30


MEMBER_MUTATIONS = (
    Mutation(
        "ignore-revocation",
        "a revoked node is served as before",
        ("members only",),
        _ignore_revocation,
        _one_is_revoked,
    ),
    Mutation(
        "serve-strangers",
        "whoever connects is served like a member",
        ("members only",),
        _serve_strangers,
        _a_stranger_comes,
    ),
)
