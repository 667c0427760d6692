"""Connections to a PostgreSQL server: a few, opened when they are needed, kept, given up when one fails; and its errors
as ours.

Rules
- No call waits for ever: a server that says nothing for ANSWER_S, whatever keeps it, is given up, and so is waiting for
  a connection. The next calls are told at once then, but for one at a time, which finds out whether the server is back.
- What the server may have done of a call that was given up is not known; whoever called asks again.
- A transaction of ours whose end the server never hears of is undone by the server, which would hold its locks.

The only module that knows the driver, and it is imported only where a hub is configured so. The URL holds a password:
neither it nor what the driver says about it is ever part of an error.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

import psycopg
from psycopg import errors, sql
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from inos.core.env import Env
from inos.core.errors import BadInput, Busy, Conflict, InosError, Refused, StorageFull, Unavailable

Cursor = psycopg.Cursor[tuple[Any, ...]]
RV = TypeVar("RV")

# Writers take turns anyway, at the row of counters; the rest are for reading beside them.
MAX_CONNECTIONS: Final = 4
CONNECT_TIMEOUT_S: Final = 5
# Longer than any statement here should take by a hundred times; the server says then that it is too busy.
STATEMENT_TIMEOUT_MS: Final = 12_000
# For how long a server may say nothing: a little longer than that. No keepalive tells of one that was stopped or hangs,
# since its machine answers for it.
ANSWER_S: Final = 15.0
# How often it is looked whether there is an answer or no more time; the driver's own interval.
_LOOK_S: Final = 0.1
# A server gives up a transaction whose client says nothing: longer than INOS computes between two statements.
_IDLE_MS: Final = 15_000
# So a machine that is gone is noticed, and a route that drops what it carries, where the URL does not say otherwise.
_TCP: Final[dict[str, int]] = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
_HINT: Final = "is it running, and is `store` in config/hub.yaml right? Messages are kept until it is back"


class _Silent(psycopg.OperationalError):
    """The server says nothing."""


class _Connection(psycopg.Connection[tuple[Any, ...]]):
    """One on which nothing is waited for longer than ANSWER_S."""

    env: Env

    def wait(self, gen: PQGen[RV], interval: float = _LOOK_S, timeout: float | None = None) -> RV:
        """As the driver's, which waits here for all that a connection does."""
        del timeout  # releases differ in whether they know one, and nobody gives one
        return super().wait(self._answered(gen), interval)

    def _answered(self, gen: PQGen[RV]) -> Generator[Any, Any, RV]:
        until_s = self.env.monotonic_s() + ANSWER_S
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    until_s = self.env.monotonic_s() + ANSWER_S
                elif self.env.monotonic_s() >= until_s:
                    raise _Silent
                wanted = gen.send(ready)
        except StopIteration as done:
            result: RV = done.value
            return result


class Connections:
    """Up to MAX_CONNECTIONS to one schema of one database. Safe from several threads."""

    def __init__(self, url: str, schema: str, env: Env) -> None:
        """Connects to nothing yet. BadInput for what is no URL of a database."""
        try:
            parts = conninfo_to_dict(url)
        except psycopg.Error:
            raise BadInput(
                "`store` is not the URL of a PostgreSQL database", hint="postgresql://user:password@host/database"
            ) from None
        self._url = make_conninfo(url, **{name: value for name, value in _TCP.items() if name not in parts})
        self._env = env
        self._schema = schema
        self._where = f"{parts.get('host') or 'localhost'}/{parts.get('dbname') or ''}"
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._idle: list[_Connection] = []
        self._silent = False
        self._looking = threading.Lock()
        self._closed = False

    @contextmanager
    def writing(self) -> Iterator[Cursor]:
        """A transaction, committed and on the server's disk when it ends, undone when it raises."""
        with self._transaction("READ COMMITTED READ WRITE") as cursor:
            yield cursor

    @contextmanager
    def reading(self) -> Iterator[Cursor]:
        """One snapshot."""
        with self._transaction("REPEATABLE READ READ ONLY") as cursor:
            yield cursor

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[Cursor]:
        with self._place():
            connection = self._taken()
            try:
                with connection.cursor() as cursor:
                    cursor.execute(sql.SQL("BEGIN ISOLATION LEVEL " + kind))
                    self._silent = False
                    yield cursor
                    cursor.execute("COMMIT")
            except (psycopg.OperationalError, psycopg.InterfaceError, errors.ReadOnlySqlTransaction) as error:
                self._give_up(connection)
                raise self._explained(error) from None
            except psycopg.Error as error:  # the server answered: only this call is over
                self._undo(connection)
                raise self._explained(error) from None
            except BaseException:
                self._undo(connection)
                raise
            self._give_back(connection)

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Room for one call. Raises Unavailable where there is none in time, or somebody else is finding out whether a
        server that was silent is back."""
        if not self._room.acquire(timeout=ANSWER_S):
            raise self._unanswered()
        try:
            if not self._silent:
                yield
                return
            if not self._looking.acquire(blocking=False):
                raise self._unanswered()
            try:
                yield
            finally:
                self._looking.release()
        finally:
            self._room.release()

    def _taken(self) -> _Connection:
        if self._closed:
            raise Conflict("the corpus is closed")
        with suppress(IndexError):
            return self._idle.pop()
        return self._opened()

    def _opened(self) -> _Connection:
        try:
            connection = _Connection.connect(
                self._url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, application_name="inos"
            )
        except psycopg.Error as error:
            raise self._explained(error) from None
        connection.env = self._env
        try:
            schema = sql.Identifier(self._schema)
            connection.execute(sql.SQL("SET search_path TO {}").format(schema))
            connection.execute("SET synchronous_commit TO on")
            connection.execute(f"SET statement_timeout TO {STATEMENT_TIMEOUT_MS}")
            connection.execute(f"SET idle_in_transaction_session_timeout TO {_IDLE_MS}")
            # Compiling a plan takes longer than running any of these.
            connection.execute("SET jit TO off")
        except psycopg.Error as error:
            connection.close()
            raise self._explained(error) from None
        return connection

    def _give_back(self, connection: _Connection) -> None:
        if self._closed:
            connection.close()
        else:
            self._idle.append(connection)

    def _undo(self, connection: _Connection) -> None:
        try:
            connection.execute("ROLLBACK")
        except psycopg.Error:
            self._give_up(connection)
        else:
            self._give_back(connection)

    def _give_up(self, connection: _Connection) -> None:
        """Where one connection broke the others are broken too, most likely: the server went away."""
        connection.close()
        for other in self._emptied():
            other.close()

    def _emptied(self) -> list[_Connection]:
        idle, self._idle = self._idle, []
        return idle

    def _unanswered(self) -> InosError:
        return Unavailable(f"the PostgreSQL server at {self._where} does not answer", hint=_HINT)

    def _explained(self, error: psycopg.Error) -> InosError | psycopg.Error:
        self._silent = isinstance(error, _Silent | errors.ConnectionTimeout)
        if self._silent:
            return self._unanswered()
        match error:
            case errors.DiskFull():
                return StorageFull("the disk of the PostgreSQL server is full", hint="free space there")
            case errors.InvalidPassword() | errors.InvalidAuthorizationSpecification():
                return Refused(
                    "the PostgreSQL server refuses the user or the password", hint="see `store` in config/hub.yaml"
                )
            case errors.InsufficientPrivilege():
                return Refused(
                    "the user may not do this in the PostgreSQL database", hint="it must be able to create a schema"
                )
            case errors.SerializationFailure() | errors.DeadlockDetected() | errors.QueryCanceled():
                return Busy("the PostgreSQL server is too busy", hint="try again in a moment")
            case psycopg.OperationalError() | psycopg.InterfaceError() | errors.ReadOnlySqlTransaction():
                return Unavailable(f"the PostgreSQL server at {self._where} cannot be reached", hint=_HINT)
        return error

    def close(self) -> None:
        """Let running calls finish, then close. May be called twice."""
        if self._closed:
            return
        self._closed = True
        for _ in range(MAX_CONNECTIONS):
            self._room.acquire()
        for connection in self._emptied():
            connection.close()
        self._room.release(MAX_CONNECTIONS)
