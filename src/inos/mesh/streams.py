"""A libp2p stream as the ByteStream that calls are made over.

Reads and writes go to the muxer's stream directly: libp2p's own wrapper takes two locks and formats a log line for
each. Reset goes to the wrapper, which keeps count of the streams of a connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import trio

from inos.core.ids import PeerId
from inos.mesh import hardening
from inos.mesh.calls import StreamBroken

# isort: split
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.id import ID
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator

BROKEN: Final = (BaseLibp2pError, trio.BrokenResourceError, trio.ClosedResourceError, OSError, KeyError)
NEGOTIATE_S: Final = 10

_client = MultiselectClient()


class Libp2pStream:
    """Implements `inos.mesh.calls.ByteStream`."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._muxed = stream.muxed_stream

    @property
    def alive(self) -> bool:
        muxed = self._muxed
        return not (muxed.closed or muxed.recv_closed or muxed.send_closed or muxed.conn.is_closed)

    async def read(self, at_most: int) -> bytes:
        try:
            data: bytes = await self._muxed.read(at_most)
        except BROKEN as error:
            raise StreamBroken(str(error) or type(error).__name__) from None
        if not data:
            raise StreamBroken("the stream has ended")
        return data

    async def write(self, data: bytes | memoryview) -> None:
        try:
            await self._muxed.write(data)
        except BROKEN as error:
            raise StreamBroken(str(error) or type(error).__name__) from None

    async def reset(self) -> None:
        try:
            await self._stream.reset()
        except BROKEN:
            return


async def negotiated(stream: Any, protocols: Sequence[TProtocol]) -> Libp2pStream:
    """`stream`, just opened, once the other side has agreed to one of `protocols`. Raises StreamBroken."""
    agreed = False
    try:
        protocol = await _client.select_one_of(list(protocols), MultiselectCommunicator(stream), NEGOTIATE_S)
        stream.set_protocol(protocol)
        agreed = True
    except BROKEN as error:
        raise StreamBroken(str(error) or type(error).__name__) from None
    finally:
        if not agreed:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 2):
                await Libp2pStream(stream).reset()
    return Libp2pStream(stream)


def peer_from_bytes(raw: bytes) -> PeerId:
    """The peer id of its binary form."""
    return PeerId(str(ID(raw)))


hardening.harden()
