"""The kinds of columns that tables have."""

from __future__ import annotations

from typing import Any

from sqlalchemy import REAL, Integer, Text
from sqlalchemy import text as sql_text
from sqlmodel import Field

STRICT = {"sqlite_strict": True}
STRICT_CLUSTERED = {"sqlite_strict": True, "sqlite_with_rowid": False}
"""For small rows that are found by their whole key."""


def key_column(target: str | None = None, *, null: bool = False, index: bool = False) -> Any:
    """A foreign key to `target`, or the table's own integer key."""
    if target is None:
        return Field(default=None, sa_type=Integer, primary_key=True)
    return Field(default=None, sa_type=Integer, foreign_key=target, nullable=null, index=index)


def text_column(default: str | None = "", *, null: bool = False, unique: bool = False) -> Any:
    """Text; nullable ones are NULL by default."""
    return Field(default=None if null else default, sa_type=Text, nullable=null, unique=unique)


def added_text_column(default: str) -> Any:
    """A text column that a migration added: SQLite requires a default in the schema."""
    return Field(default=default, sa_type=Text, nullable=False, sa_column_kwargs={"server_default": default})


def int_column(default: int | None = 0, *, null: bool = False) -> Any:
    """An integer; nullable ones are NULL by default."""
    return Field(default=None if null else default, sa_type=Integer, nullable=null)


def added_int_column(default: int = 0) -> Any:
    """An integer column that a migration added: older rows hold the default."""
    return Field(
        default=default,
        sa_type=Integer,
        nullable=False,
        sa_column_kwargs={"server_default": sql_text(str(default))},
    )


def real_column(default: float | None = 0.0, *, null: bool = False) -> Any:
    """A floating-point number; nullable ones are NULL by default."""
    return Field(default=None if null else default, sa_type=REAL, nullable=null)
