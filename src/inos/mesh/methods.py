"""Which methods a node answers, to whom, and what becomes of what their handlers raise.

Shared by every implementation of the network seam, so that a method behaves alike over libp2p and in the simulator.
Rules: strangers reach only methods registered for them; what leaves here is an answer within the frame limits or an
InosError; a handler's bug is logged in full and reported to the peer only as `internal`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from inos.core.errors import BadInput, InosError, NotAMember, TooLarge
from inos.core.ids import PeerId
from inos.mesh.network import MAX_BODY_BYTES, MAX_PAYLOAD_BYTES, GossipHandler, Handler, Message, PlainHandler

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Method:
    """Has either handler."""

    handler: Handler | None
    plain: PlainHandler | None
    strangers: bool


def check_size(message: Message) -> None:
    """Raises TooLarge when `message` does not fit in one frame."""
    if len(message.payload) > MAX_PAYLOAD_BYTES:
        raise TooLarge(f"a payload of {len(message.payload)} bytes is over the limit of {MAX_PAYLOAD_BYTES}")
    if len(message.body) > MAX_BODY_BYTES:
        raise TooLarge(f"a body of {len(message.body)} bytes is over the limit of {MAX_BODY_BYTES}")


class MethodTable:
    """The methods one node serves."""

    def __init__(self) -> None:
        self._methods: dict[str, _Method] = {}
        self._plain: dict[str, PlainHandler] = {}

    def serve(self, method: str, handler: Handler, *, strangers: bool) -> None:
        """Register `handler` for `method`; each method has one."""
        self._add(method, _Method(handler, None, strangers))

    def serve_plain(self, method: str, handler: PlainHandler) -> None:
        """Register a handler that never waits, for members."""
        self._add(method, _Method(None, handler, strangers=False))
        self._plain[method] = handler

    def _add(self, method: str, found: _Method) -> None:
        if method in self._methods:
            raise ValueError(f"two handlers for {method!r}")
        self._methods[method] = found

    def open_to_strangers(self, method: str) -> bool:
        """Whether a peer that has not proven membership may call `method`."""
        found = self._methods.get(method)
        return found is not None and found.strangers

    def is_plain(self, method: str) -> bool:
        """Whether `answer_plain` answers `method`."""
        return method in self._plain

    async def answer(self, peer: PeerId, method: str, request: Message, *, member: bool) -> Message:
        """The handler's answer. Raises InosError and nothing else (except cancellation)."""
        found = self._find(method, member=member)
        if found.handler is None:
            return self.answer_plain(peer, method, request, member=member)
        try:
            answer = await found.handler(peer, request)
            check_size(answer)
        except InosError:
            raise
        except Exception:
            raise _failed(peer, method) from None
        return answer

    def answer_plain(self, peer: PeerId, method: str, request: Message, *, member: bool) -> Message:
        """As `answer`, for a method that `is_plain`."""
        found = self._find(method, member=member)
        assert found.plain is not None, f"{method} has to be waited for"
        try:
            answer = found.plain(peer, request)
            check_size(answer)
        except InosError:
            raise
        except Exception:
            raise _failed(peer, method) from None
        return answer

    def _find(self, method: str, *, member: bool) -> _Method:
        found = self._methods.get(method)
        if not member and not (found is not None and found.strangers):
            raise NotAMember(f"{method!r} is for members of this mesh", hint="join the mesh with a ticket first")
        if found is None:
            raise BadInput(f"unknown method {method[:80]!r}", hint="the peer may run another release")
        return found


def _failed(peer: PeerId, method: str) -> InosError:
    """Log the exception being handled; what the peer is told of it."""
    log.exception("handler of %s failed for %s", method, peer.short())
    return InosError(f"{method} failed on the peer", hint="its log says why")


async def deliver(topic: str, handler: GossipHandler, origin: PeerId, data: bytes) -> None:
    """Hand one gossip message to its handler, whose bugs are logged and cost that message only."""
    try:
        await handler(origin, data)
    except Exception:
        log.exception("handler of topic %s failed", topic)
