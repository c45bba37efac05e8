"""Tables of the daemon itself: its sessions, its heartbeat, its events and the commands it is given."""

from __future__ import annotations

from sqlalchemy import Index
from sqlmodel import SQLModel

from state.tables.columns import STRICT, int_column, key_column, real_column, text_column


class Identity(SQLModel, table=True):
    """The identity of this database, in one row: it is in its runs' directories, and stays in copies and backups."""

    __table_args__ = STRICT
    id: int | None = key_column()
    database: str = text_column()


class DaemonSession(SQLModel, table=True):
    """One daemon process, from its start to its end."""

    __tablename__ = "boot"
    __table_args__ = STRICT
    id: int | None = key_column()
    pid: int = int_column()
    pid_started: float = real_column()  # the process's start time, so a reused pid is recognised
    host: str = text_column()
    version: str = text_column()
    started_at: int = int_column()
    ended_at: int | None = int_column(null=True)
    exit_reason: str | None = text_column(null=True)
    config: str = text_column("{}")  # the resolved configuration, without secrets


class Heartbeat(SQLModel, table=True):
    """The state of the running daemon; one row, rewritten every second."""

    __tablename__ = "pulse"
    __table_args__ = STRICT
    id: int | None = key_column()
    boot_id: int = key_column("boot.id")
    at: int = int_column()
    state: str = text_column()  # starting | running | paused | draining | stopped
    data: str = text_column("{}")


class Event(SQLModel, table=True):
    """Something that happened, kept for later."""

    __table_args__ = (Index("event_by_level", "level", "id"), STRICT)
    id: int | None = key_column()
    at: int = int_column()
    level: str = text_column("info")  # info | warning | error
    kind: str = text_column()  # the event's class name, e.g. TeacherParked
    subject: str = text_column()  # "teacher:gpt", "task:gsm8k", "run:7", …
    message: str = text_column()
    data: str = text_column("{}")


class Command(SQLModel, table=True):
    """A request of the user; the daemon applies it and answers."""

    __table_args__ = (Index("command_by_state", "state", "id"), STRICT)
    id: int | None = key_column()
    kind: str = text_column()  # pause | resume | train | stop | stop_run | budget
    args: str = text_column("{}")
    state: str = text_column("pending")  # pending | done | refused
    answer: str | None = text_column(null=True)
    created_at: int = int_column()
    answered_at: int | None = int_column(null=True)
