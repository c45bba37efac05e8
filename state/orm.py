"""SQLModel sessions, for cold paths that write whole rows.

SQLModel takes half a second to import, so nothing that only reads imports this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from sqlmodel import Session

from state import sqlite
from state.database import connect_to_write, told
from state.sqlite import Connection


@contextmanager
def orm_session(path: Path) -> Iterator[Session]:
    """A short session: one IMMEDIATE transaction, committed at the end.

    Raises:
        StateLocked: another process held the database for longer than the busy timeout.
        StateDamaged: it is damaged.
    """
    engine = _engine(path)
    try:
        with Session(engine, expire_on_commit=False) as opened:
            yield opened
            opened.commit()
    except DBAPIError as error:
        if (known := told(error.orig, path)) is not None:
            raise known from None
        raise


def driver_connection(opened: Session) -> Connection:
    """The connection of a session, in its transaction, for plain statements."""
    connection: Connection = opened.connection().connection.driver_connection  # type: ignore[assignment]
    return connection


@lru_cache(maxsize=4)
def _engine(path: Path) -> Engine:
    """Keeps no connection, only the statements that it has compiled."""
    engine = create_engine(
        "sqlite://", creator=lambda: connect_to_write(path), module=sqlite.dbapi, poolclass=NullPool
    )
    # The driver's own transactions are off; a write must never start as a read, or it may fail with
    # SQLITE_BUSY_SNAPSHOT whatever the busy timeout says.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine
