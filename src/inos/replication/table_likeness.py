"""Who has all that this node has, known without asking: every heartbeat carries one digest over all tables.

Two nodes that say the same have the same. In a mesh in which each keeps other sectors their digests always differ; then
what was compared stays compared as long as both go on saying what they said before it. Either saves a call, and never
a record: whoever changes says something else with its next beat. Owned by the event loop; no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any, Final

from inos.core.env import Env
from inos.crypto.hashing import blake3_digest

# Beats come every three seconds; somebody who has not said anything for longer may have anything by now.
SAID_S: Final = 10.0
# A record is with everybody it goes to after this, unless something was lost.
SPREAD_S: Final = 2.0

Roots = Mapping[str, Mapping[int, bytes]]


def digest_of(roots: Roots) -> bytes:
    """32 bytes over the roots of all sectors with records, by table."""
    parts: list[bytes] = []
    for table in sorted(roots):
        parts.append(blake3_digest(table.encode()))
        parts.extend(sector.to_bytes(2, "big") + root for sector, root in sorted(roots[table].items()))
    return blake3_digest(b"".join(parts))


class Likeness:
    """What this node and the others say of all that they have."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._roots: Roots = {}
        self._ours = b""
        self.changes = 0
        self._changed_s = 0.0
        self._looked = -1
        self._said: dict[bytes, tuple[bytes, float]] = {}
        self._tells: dict[bytes, None] = {}
        self._compared: dict[bytes, tuple[bytes, bytes]] = {}

    @property
    def ours(self) -> bytes:
        """32 bytes over everything this node has; empty while that is not known."""
        return self._ours if self._looked == self.changes else b""

    def changed(self) -> None:
        """This node has got something new."""
        self.changes += 1
        self._changed_s = self._env.monotonic_s()

    def look(self, roots: Roots, changes: int) -> bool:
        """Take in what this node has, and whether that is new; read when there had been so many `changes`."""
        new = roots.keys() != self._roots.keys() or any(roots[table] is not self._roots[table] for table in roots)
        if new:
            self._roots, self._ours = roots, digest_of(roots)
        self._looked = changes
        return new

    def hear(self, node: bytes, digest: bytes) -> None:
        """What a beat of `node` said; empty when it does not know, because that changes."""
        self._said[node] = digest, self._env.monotonic_s()
        if digest:
            self._tells[node] = None

    def doubt(self, node: bytes) -> None:
        """It may have missed something since it last said what it has."""
        self._said.pop(node, None)

    def said_by(self, node: bytes) -> bytes:
        """What `node` said lately, empty when nothing."""
        digest, at_s = self._said.get(node, (b"", 0.0))
        return digest if digest and self._env.monotonic_s() - at_s <= SAID_S else b""

    def compared(self, node: bytes, ours: bytes, theirs: bytes) -> None:
        """Nothing differs any more in what both keep, since both said this."""
        if ours and theirs:
            self._compared[node] = ours, theirs
        else:
            self._compared.pop(node, None)

    def assigned_anew(self) -> None:
        """What was compared are no longer the same places."""
        self._compared.clear()

    def alike(self, node: bytes) -> bool:
        """Whether a comparison with `node` would find nothing."""
        ours, theirs = self.ours, self.said_by(node)
        return bool(ours and theirs) and (ours == theirs or self._compared.get(node) == (ours, theirs))

    def differs(self, node: bytes) -> bool:
        """Whether `node` has said something else since whatever changed this node last reached everybody it goes to; or
        never says what it has, as older releases do."""
        said, at_s = self._said.get(node, (b"", -inf))
        if node not in self._tells or self._env.monotonic_s() - at_s > SAID_S:
            return True
        return bool(said) and at_s > self._changed_s + SPREAD_S and not self.alike(node)

    def keep_only(self, members: Mapping[bytes, object]) -> None:
        """Forget those that are no members any more."""
        known: tuple[dict[bytes, Any], ...] = (self._said, self._tells, self._compared)
        for each in known:
            for node in [node for node in each if node not in members]:
                del each[node]
