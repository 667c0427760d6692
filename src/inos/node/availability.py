"""How much of the time each member was there, kept over restarts of this node: durability is worked out from it, and it
takes days to measure.

A setting, as JSON: {"version": 1, "peers": {peer id: [seconds observed, seconds alive]}}. What cannot be read is as
good as not measured yet: time says it again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from math import isfinite
from typing import Final, Protocol

from inos.core.env import Env
from inos.core.errors import InosError
from inos.core.ids import PeerId
from inos.mesh.liveness import Observed

# A crash loses this much of a measurement that spans days.
SAVE_EVERY_S: Final = 600.0
# More than twice the largest mesh: those of long ago are kept as well.
MAX_PEERS: Final = 2048
_KEY: Final = "availability"
_VERSION: Final = 1


class Measured(Protocol):
    def export(self) -> Mapping[PeerId, Observed]: ...

    def restore(self, observed: Mapping[PeerId, Observed]) -> None: ...


class SmallFacts(Protocol):
    def get(self, key: str) -> bytes | None: ...

    def put(self, values: Mapping[str, bytes]) -> None: ...


class Availability:
    """Over the liveness and the settings of one node; `members` are those worth keeping."""

    def __init__(
        self, liveness: Measured, settings: SmallFacts, members: Callable[[], Collection[bytes]], env: Env
    ) -> None:
        self._liveness = liveness
        self._settings = settings
        self._members = members
        self._env = env

    async def load(self) -> None:
        """Go on from what an earlier run of this node measured."""
        kept = await self._env.in_thread(self._settings.get, _KEY)
        if kept is not None:
            self._liveness.restore(decode_observed(kept))

    async def step(self) -> None:
        """Keep what has been measured so far. One round of a Worker."""
        members = self._members()
        measured = {peer: one for peer, one in self._liveness.export().items() if peer.public_key() in members}
        if measured:
            await self._env.in_thread(self._settings.put, {_KEY: encode_observed(measured)})


def encode_observed(measured: Mapping[PeerId, Observed]) -> bytes:
    """The setting; the peers observed longest where there are more than MAX_PEERS."""
    longest = sorted(measured, key=lambda peer: (-measured[peer].observed_s, peer))[:MAX_PEERS]
    peers = {str(peer): [measured[peer].observed_s, measured[peer].alive_s] for peer in longest}
    return json.dumps({"version": _VERSION, "peers": peers}, sort_keys=True).encode()


def decode_observed(kept: bytes) -> dict[PeerId, Observed]:
    """What is sound in the setting."""
    try:
        found = json.loads(kept)
        if found["version"] != _VERSION:
            return {}
        pairs = [_pair(*entry) for entry in found["peers"].items()]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, InosError):
        return {}
    return dict(pair for pair in pairs if pair is not None)


def _pair(peer: str, seconds: list[float]) -> tuple[PeerId, Observed] | None:
    observed_s, alive_s = map(float, seconds)
    if not (isfinite(observed_s) and 0 <= alive_s <= observed_s):
        return None
    return PeerId.parse(peer), Observed(observed_s, alive_s)
