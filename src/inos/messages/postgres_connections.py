"""Connections to a PostgreSQL server: a few, opened when they are needed, kept, given up when one fails; and its errors
as ours.

The only module that knows the driver, and it is imported only where a hub is configured so. The URL holds a password:
neither it nor what the driver says about it is ever part of an error.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict

from inos.core.errors import BadInput, Busy, Conflict, InosError, Refused, StorageFull, Unavailable

Cursor = psycopg.Cursor[tuple[Any, ...]]
_Connection = psycopg.Connection[tuple[Any, ...]]

# Writers take turns anyway, at the row of counters; the rest are for reading beside them.
MAX_CONNECTIONS: Final = 4
CONNECT_TIMEOUT_S: Final = 5
# Longer than any call here should take by a hundred times.
STATEMENT_TIMEOUT_MS: Final = 30_000
_HINT: Final = "is it running, and is `store` in config/hub.yaml right? Messages are kept until it is back"


class Connections:
    """Up to MAX_CONNECTIONS to one schema of one database. Safe from several threads."""

    def __init__(self, url: str, schema: str) -> None:
        """Connects to nothing yet. BadInput for what is no URL of a database."""
        try:
            parts = conninfo_to_dict(url)
        except psycopg.Error:
            raise BadInput(
                "`store` is not the URL of a PostgreSQL database", hint="postgresql://user:password@host/database"
            ) from None
        self._url = url
        self._schema = schema
        self._where = f"{parts.get('host') or 'localhost'}/{parts.get('dbname') or ''}"
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._idle: list[_Connection] = []
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
        with self._room:
            connection = self._taken()
            try:
                with connection.cursor() as cursor:
                    cursor.execute(sql.SQL("BEGIN ISOLATION LEVEL " + kind))
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

    def _taken(self) -> _Connection:
        if self._closed:
            raise Conflict("the corpus is closed")
        with suppress(IndexError):
            return self._idle.pop()
        return self._opened()

    def _opened(self) -> _Connection:
        try:
            connection = psycopg.connect(
                self._url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, application_name="inos"
            )
        except psycopg.Error as error:
            raise self._explained(error) from None
        try:
            schema = sql.Identifier(self._schema)
            connection.execute(sql.SQL("SET search_path TO {}").format(schema))
            connection.execute("SET synchronous_commit TO on")
            connection.execute(f"SET statement_timeout TO {STATEMENT_TIMEOUT_MS}")
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

    def _explained(self, error: psycopg.Error) -> InosError | psycopg.Error:
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
