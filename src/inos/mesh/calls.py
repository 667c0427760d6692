"""Calls over byte streams: a pool of long-lived streams to ask a peer, and the loop that answers one.

One request at a time travels on a stream; a stream is reused only after a complete exchange and is reset after any
other end, so an answer can never be taken for that of another request. A stream holds at most one frame in memory on
either side. Knows nothing of libp2p: anything that reads, writes and resets will do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

import trio

from inos.core.errors import BadFrame, InosError, PeerUnavailable
from inos.core.ids import PeerId
from inos.mesh.frames import (
    HEADER_BYTES,
    MAX_ENVELOPE_BYTES,
    Envelope,
    Header,
    Kind,
    decode_envelope,
    decode_error,
    encode_error,
    encode_head,
    parse_header,
)
from inos.mesh.network import MAX_BODY_BYTES, Message

# One request a stream; eight keep a fast link full of 1 MiB bodies and bound what a peer can make us buffer.
MAX_STREAMS_PER_PEER: Final = 8
# From the first byte of a frame to its last: 2 MiB at 70 KB/s. Slower than that is an attack or a dead link.
FRAME_DEADLINE_S: Final = 30.0
RESET_DEADLINE_S: Final = 2.0
# Below this a body is joined to its head: one write, one packet. Above, the copy costs more than the second write.
JOIN_BYTES: Final = 16 * 1024


class StreamBroken(Exception):
    """The stream has ended, by either side or with its connection."""


class ByteStream(Protocol):
    """One bidirectional stream. `read` and `write` raise StreamBroken once it has ended."""

    async def read(self, at_most: int) -> bytes: ...

    async def write(self, data: bytes | memoryview) -> None: ...

    async def reset(self) -> None:
        """End it at once, in both directions. Never raises; repeating it is harmless."""

    @property
    def alive(self) -> bool:
        """False when it is known to have ended."""


@dataclass(frozen=True, slots=True)
class FrameLimits:
    """How large a frame a peer may send."""

    envelope_bytes: int = MAX_ENVELOPE_BYTES
    body_bytes: int = MAX_BODY_BYTES


MEMBER_LIMITS: Final = FrameLimits()


async def read_exactly(stream: ByteStream, size: int) -> bytes:
    """The next `size` bytes."""
    first = await stream.read(size) if size else b""
    if len(first) == size:
        return first
    pieces, missing = [first], size - len(first)
    while missing:
        pieces.append(await stream.read(missing))
        missing -= len(pieces[-1])
    return b"".join(pieces)


async def write_frame(stream: ByteStream, envelope: Envelope, body: bytes) -> None:
    """Send one frame."""
    head = encode_head(envelope, len(body))
    if len(body) <= JOIN_BYTES:
        await stream.write(head + body)
    else:
        await stream.write(head)
        await stream.write(body)


async def read_frame(stream: ByteStream, limits: FrameLimits, *, first: bytes = b"") -> tuple[Envelope, bytes]:
    """Receive one frame, of which `first` has been read already. Raises BadFrame, StreamBroken."""
    header = first + await read_exactly(stream, HEADER_BYTES - len(first))
    sizes: Header = parse_header(header, max_envelope_bytes=limits.envelope_bytes, max_body_bytes=limits.body_bytes)
    envelope = decode_envelope(await read_exactly(stream, sizes.envelope_bytes))
    body = await read_exactly(stream, sizes.body_bytes) if sizes.body_bytes else b""
    return envelope, body


async def reset(stream: ByteStream) -> None:
    """Reset whatever happens around us, but not for ever."""
    with trio.CancelScope(shield=True, deadline=trio.current_time() + RESET_DEADLINE_S):
        await stream.reset()


async def exchange(stream: ByteStream, call_id: int, method: str, request: Message) -> Message:
    """One request and its answer. Raises _Answered when that is an error; StreamBroken, BadFrame when there is none."""
    await write_frame(stream, Envelope(Kind.REQUEST, call_id, method, request.payload), request.body)
    envelope, body = await read_frame(stream, MEMBER_LIMITS)
    if envelope.id != call_id or envelope.kind not in (Kind.RESPONSE, Kind.FAILURE):
        raise BadFrame(f"the answer to call {call_id} is a {envelope.kind} of {envelope.id}")
    if envelope.kind is Kind.FAILURE:
        raise _Answered(decode_error(envelope.payload))
    return Message(envelope.payload, body)


class _Answered(Exception):
    """The peer answered with an error: the call failed, the stream is fine."""

    def __init__(self, error: InosError) -> None:
        super().__init__(str(error))
        self.error = error


class CallPool:
    """Streams to one peer, opened when needed, kept for the next call."""

    def __init__(
        self, peer: PeerId, open_stream: Callable[[], Awaitable[ByteStream]], discard: Callable[[ByteStream], None]
    ) -> None:
        """`discard` is given each stream that must be reset; it must not block, as the caller may be out of time."""
        self._peer = peer
        self._open_stream = open_stream
        self._discard = discard
        self._slots = trio.Semaphore(MAX_STREAMS_PER_PEER)
        self._idle: list[ByteStream] = []
        self._last_id = 0

    async def call(self, method: str, request: Message, *, timeout_s: float) -> Message:
        """See `inos.mesh.network.Calls.call`."""
        try:
            with trio.fail_after(timeout_s):
                async with self._slots:
                    return await self._call(method, request)
        except trio.TooSlowError:
            raise PeerUnavailable(
                f"{self._peer.short()} did not answer {method} within {timeout_s:g} s",
                hint="it is slow, gone, or the network between is cut",
            ) from None
        except StreamBroken as error:
            raise PeerUnavailable(f"{self._peer.short()} hung up during {method}: {error}") from None

    async def _call(self, method: str, request: Message) -> Message:
        stream = await self._take()
        self._last_id += 1
        try:
            answer = await exchange(stream, self._last_id, method, request)
        except _Answered as answered:
            self._idle.append(stream)
            raise answered.error from None
        except BaseException:
            self._discard(stream)
            raise
        self._idle.append(stream)
        return answer

    async def _take(self) -> ByteStream:
        while self._idle:
            stream = self._idle.pop()
            if stream.alive:
                return stream
            self._discard(stream)
        return await self._open_stream()

    def close(self) -> None:
        """Give up every idle stream; those in use end with their call."""
        while self._idle:
            self._discard(self._idle.pop())


Answer = Callable[[Envelope, bytes], Awaitable[Message]]


async def serve_stream(
    stream: ByteStream, answer: Answer, limits: Callable[[], FrameLimits], handlers: trio.Semaphore
) -> None:
    """Answer requests on `stream` until it ends. `answer` raises InosError and nothing else; `limits` is asked anew for
    each frame; `handlers` bounds the calls of this peer that run at once. Returns when the stream has ended or its peer
    broke the rules, in which case the caller resets it; raises BadFrame for the latter."""
    try:
        while True:
            first = await stream.read(HEADER_BYTES)  # an idle stream may wait here for ever
            with trio.fail_after(FRAME_DEADLINE_S):
                request, body = await read_frame(stream, limits(), first=first)
            async with handlers:
                reply, reply_body = await _reply(request, body, answer)
            del body
            if reply is not None:
                with trio.fail_after(FRAME_DEADLINE_S):
                    await write_frame(stream, reply, reply_body)
            del reply, reply_body
    except StreamBroken:
        return
    except trio.TooSlowError:
        raise BadFrame(f"a frame took longer than {FRAME_DEADLINE_S:g} s") from None


async def _reply(request: Envelope, body: bytes, answer: Answer) -> tuple[Envelope | None, bytes]:
    if request.kind not in (Kind.REQUEST, Kind.EVENT):
        raise BadFrame(f"a {request.kind} where a request is due")
    try:
        message = await answer(request, body)
    except InosError as error:
        reply = Envelope(Kind.FAILURE, request.id, payload=encode_error(error, context=request.method))
        message = Message()
    else:
        reply = Envelope(Kind.RESPONSE, request.id, payload=message.payload)
    return (None, b"") if request.kind is Kind.EVENT else (reply, message.body)
