"""The UNIX socket in the data root on which the API listens besides its port, and the open files that come over it."""

from __future__ import annotations

import array
import logging
import os
import socket
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import trio

from inos.core.errors import BadInput

log = logging.getLogger(__name__)

# Whoever may open the socket is this user: it lies in a folder of 0700, and has 0600 itself.
_MODE: Final = 0o600
_BACKLOG: Final = 128
# What a request's `state` calls the open file that came along.
_STATE_KEY: Final = "handed"
_ONE_DESCRIPTOR: Final = socket.CMSG_LEN(array.array("i").itemsize) if hasattr(socket, "CMSG_LEN") else 0
_CLOSE_ON_EXEC: Final = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_ABLE: Final = hasattr(socket, "AF_UNIX") and hasattr(socket, "SCM_RIGHTS")


@asynccontextmanager
async def listening_at(path: Path | None) -> AsyncGenerator[trio.SocketListener | None, None]:
    """A listener at `path`, removed at the end; None where there can be none, which costs nothing but speed."""
    sock = _bound(path) if path is not None and _ABLE else None
    if path is None or sock is None:
        yield None
        return
    async with trio.SocketListener(trio.socket.from_stdlib_socket(sock)) as listener:
        try:
            yield listener
        finally:
            _remove(path)


def _bound(path: Path) -> socket.socket | None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove(path)  # left by a node that was killed: the lock says that none runs
        sock.bind(os.fspath(path))
        path.chmod(_MODE)
        sock.listen(_BACKLOG)
    except OSError as error:  # a path longer than some 100 bytes, a file system without sockets
        sock.close()
        log.info("no UNIX socket at %s: %s", path, error)
        return None
    return sock


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


class Handed:
    """The open file that came over one connection last, until a request takes it."""

    def __init__(self) -> None:
        self._descriptor: int | None = None

    async def receive(self, sock: trio.socket.SocketType, size: int) -> bytes:
        """As `receive_some` of a stream, keeping an open file that comes along. The kernel drops all but one."""
        try:
            data, extra, _, _ = await sock.recvmsg(size, _ONE_DESCRIPTOR, _CLOSE_ON_EXEC)
        except OSError as error:
            raise trio.BrokenResourceError from error
        for level, kind, content in extra:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                for descriptor in array.array("i", content):
                    self.close()
                    self._descriptor = descriptor
                    os.set_inheritable(descriptor, False)
        return data

    @contextmanager
    def take(self) -> Iterator[int]:
        """The descriptor, closed at the end. BadInput when none came."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            raise BadInput("no open file came with the request", hint="hand one over on the UNIX socket (docs/api.md)")
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Close what nobody took."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def state(self) -> dict[str, Any]:
        """The `state` of requests on this connection, where `handed_in` finds this."""
        return {_STATE_KEY: self}


def handed_in(state: Mapping[str, Any]) -> Handed:
    """What came with a request; nothing over a connection that carries no files."""
    found = state.get(_STATE_KEY)
    return found if isinstance(found, Handed) else Handed()


def handed_over(stream: trio.SocketStream) -> Handed | None:
    """What will come over `stream`; None where files cannot."""
    return Handed() if _ABLE and stream.socket.family == socket.AF_UNIX else None
