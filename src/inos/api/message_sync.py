"""Messages in, from agents to the hub: raw ASGI, since these are the calls that come a thousand times a second.

    POST /sync/message      one message
    POST /sync/messages     a batch (core/messages/sync.py)

Bodies may be gzip; what they unpack to is bounded like one that is not. An answer means stored and synced.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from inos.api.callers import caller_of
from inos.api.content import refuse_and_linger, request_body, send_encoded, send_json
from inos.api.gate import limit_body
from inos.api.gathering import Gathering
from inos.api.service import Messaging
from inos.core.env import Env
from inos.core.errors import BadInput, InosError, TooLarge
from inos.core.messages.message import MAX_MESSAGE_BYTES, Message
from inos.core.messages.shares import Rates, Room
from inos.core.messages.sync import MAX_BATCH_BYTES, decode_batch

# Bodies of batches held at one time, unpacked; some ten of the largest, hundreds of usual ones.
MAX_HELD_BYTES: Final = 64 << 20
# An outbox gives a batch up after that long (messages/sender.py), and the largest takes a slow line less.
BODY_S: Final = 120.0
# Parsing this much takes about a millisecond; more is done beside the event loop.
_INLINE_BYTES: Final = 64 << 10
_GZIP: Final = 31  # zlib's number for a window of 32 KiB in a gzip frame


class SyncMessage:
    """POST /sync/message"""

    def __init__(self, service: Messaging, rates: Rates) -> None:
        self._gathering = Gathering(service)
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            message = Message.decode(await read_body(scope, receive, MAX_MESSAGE_BYTES))
            caller_of(scope).may_write_as(message.agent)
            self._rates.take({message.agent: 1})
            hub, result = await self._gathering.store(message)
            if result.error is not None:
                raise result.error
        except InosError as error:
            await refuse_and_linger(receive, send, error)
            return
        await send_json(send, {"status": result.fate, "id": result.id, "seq": result.seq, "hub": hub})


class SyncMessages:
    """POST /sync/messages"""

    def __init__(self, service: Messaging, env: Env, rates: Rates) -> None:
        self._service = service
        self._env = env
        self._rates = rates
        self._held = Held(MAX_HELD_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            caller = caller_of(scope)
            with self._held.holding(caller.agent) as hold:
                body = await read_body(scope, receive, MAX_BATCH_BYTES, hold)
                if len(body) > _INLINE_BYTES:
                    received = await self._env.in_thread(decode_batch, body)
                else:
                    received = decode_batch(body)
                counts = Counter(each.agent for each in received.messages if isinstance(each, Message))
                for agent in counts:
                    caller.may_write_as(agent)
                self._rates.take(counts)
                ack = await self._service.messages.sync(received.messages, received.node, received.hub)
        except InosError as error:
            await refuse_and_linger(receive, send, error)
            return
        await send_encoded(send, ack.encode())


class Held:
    """How many bytes of bodies are in memory, over all requests; shared fairly among agents with tokens of their own,
    and the owner, who is one of them."""

    def __init__(self, most_bytes: int) -> None:
        self._room = Room(most_bytes, "messages come in")

    @contextmanager
    def holding(self, who: str) -> Iterator[Hold]:
        """What one request holds, given back at the end."""
        hold = Hold(self._room, who)
        try:
            yield hold
        finally:
            if hold.bytes:
                self._room.give(who, hold.bytes)


class Hold:
    """The part of one request."""

    def __init__(self, room: Room, who: str) -> None:
        self._room = room
        self._who = who
        self.bytes = 0

    def take(self, count: int) -> None:
        """Raises Busy."""
        self._room.take(self._who, count)
        self.bytes += count


async def read_body(scope: Scope, receive: Receive, most_bytes: int, hold: Hold | None = None) -> bytes:
    """A whole body, unpacked where it is gzip. TooLarge over `most_bytes` either way; BadInput for another encoding."""
    encoding = Headers(scope=scope).get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise BadInput(f"a body cannot be {encoding[:40]!r}", hint="send it plain or as gzip")
    unpacking = zlib.decompressobj(_GZIP) if encoding == "gzip" else None
    parts: list[bytes] = []
    size = 0
    async with aclosing(request_body(limit_body(receive, most_bytes, BODY_S))) as body:
        async for packed in body:
            part = packed if unpacking is None else unpack_part(unpacking, packed, most_bytes - size)
            size += len(part)
            if hold is not None:
                hold.take(len(part))
            parts.append(part)
    if unpacking is not None and not unpacking.eof:
        raise BadInput("the body is cut off: its gzip has no end")
    return b"".join(parts)


def unpack_part(unpacking: zlib._Decompress, packed: bytes, left: int) -> bytes:
    """The next bytes of a gzip body, at most `left`. Raises BadInput, TooLarge."""
    try:
        part = unpacking.decompress(packed, left + 1)
    except zlib.error:
        raise BadInput("the body is no gzip, as its Content-Encoding says") from None
    if len(part) > left:
        raise TooLarge(f"the body unpacks to over {left + len(part) - 1} bytes")
    if unpacking.unused_data:
        raise BadInput("something follows the gzip in the body")
    return part
