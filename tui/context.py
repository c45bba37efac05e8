"""What the application lets its screens read. A screen changes nothing here; it posts a message (`tui/messages.py`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from state.views.status_records import Status


@dataclass(slots=True, kw_only=True)
class Context:
    """Settings of this monitor, and the state that all screens show."""

    path: Path
    """The database; it may not exist yet."""
    place: str
    """Host and database for the header: `gpu7:~/math/state.db`."""
    readonly: bool
    clock: Callable[[], int]
    """UTC milliseconds."""
    remapped: Mapping[str, str]
    """Other keys for bindings, by id."""
    hold_frame: Callable[[], None]
    """Delays drawing until the next reading has arrived, or a moment has passed."""
    status: Status | None = None
    problem: str = ""
    """Why the database cannot be read; empty while it can."""
    frozen: bool = False
