"""Asking another replica: the table calls as typed methods, and how fast each peer has answered.

What comes back is bounded and decoded here, never believed: records still have to pass the gate. Whatever a peer does
wrong is PeerUnavailable, except TooLarge, which says to ask for less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from inos.core.env import Env
from inos.core.errors import InosError, PeerUnavailable, TooLarge
from inos.core.ids import PeerId
from inos.mesh.network import Calls, Message
from inos.replication import table_wire as wire
from inos.replication.table_view import Place

# Listing and comparing are milliseconds' work; a failed peer is known after 5 s.
CALL_TIMEOUT_S: Final = 5.0
# A full batch is checked in a quarter of a second on a quiet machine and took over 5 s on one with eight times too much
# to do. Giving up early only has the same records sent again; writers have a deadline of their own.
PUSH_TIMEOUT_S: Final = 15.0
# A look-up is a millisecond's work; a peer that takes this long is as good as gone, and others can answer.
READ_TIMEOUT_S: Final = 1.5
_SMOOTHING: Final = 0.2

T = TypeVar("T")


class TableClient:
    """The table calls of one node to its peers."""

    def __init__(self, calls: Calls, env: Env) -> None:
        self._calls = calls
        self._env = env
        self._latency_s: dict[bytes, float] = {}

    def nearest_first(self, nodes: Sequence[bytes]) -> list[bytes]:
        """By how fast they answered so far; unknown ones first, so that they become known."""
        return sorted(nodes, key=lambda node: self._latency_s.get(node, 0.0))

    async def push(self, node: bytes, encoded: Sequence[bytes]) -> dict[int, str]:
        """Hand over records that fit in one call; the refused ones by index."""
        request = wire.encode_batch(wire.Batch(list(encoded)))
        return await self._ask(node, wire.PUSH, request, wire.decode_push_answer, PUSH_TIMEOUT_S)

    async def digests(self, node: bytes, roots: Mapping[Place, bytes]) -> dict[Place, bytes]:
        """The places in which the peer differs from `roots`, with its own."""
        found = await self._ask(node, wire.DIGESTS, wire.encode_digests(roots), wire.decode_digests)
        return {place: root for place, root in found.items() if place in roots}

    async def buckets(self, node: bytes, place: Place) -> list[bytes]:
        return await self._ask(node, wire.BUCKETS, wire.encode_bucket_request(place), wire.decode_buckets)

    async def entries(self, node: bytes, place: Place, buckets: Sequence[int]) -> dict[bytes, bytes]:
        """Key -> digest. Raises TooLarge when these buckets do not fit in one answer."""
        return await self._ask(node, wire.ENTRIES, wire.encode_entry_request(place, buckets), wire.decode_entries)

    async def fetch(self, node: bytes, table: str, keys: Sequence[bytes]) -> wire.Batch:
        return await self._ask(node, wire.FETCH, wire.encode_fetch(table, keys), wire.decode_batch, READ_TIMEOUT_S)

    async def scan(self, node: bytes, request: wire.ScanRequest) -> wire.Batch:
        return await self._ask(node, wire.SCAN, wire.encode_scan(request), wire.decode_batch, READ_TIMEOUT_S)

    async def _ask(
        self,
        node: bytes,
        method: str,
        payload: bytes,
        decode: Callable[[bytes], T],
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> T:
        peer = PeerId.from_public_key(node)
        started_s = self._env.monotonic_s()
        try:
            answer = await self._calls.call(peer, method, Message(payload), timeout_s=timeout_s)
            return decode(answer.payload)
        except (PeerUnavailable, TooLarge):
            raise
        except InosError as error:
            # A peer whose disk is full or whose answers do not decode must not look like a fault of this node.
            raise PeerUnavailable(f"{peer.short()} failed {method}: {error}") from error
        finally:
            took_s = self._env.monotonic_s() - started_s
            before_s = self._latency_s.get(node, took_s)
            self._latency_s[node] = before_s + _SMOOTHING * (took_s - before_s)
