"""A batch that is being made or is out, and what all keys of batches share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from daemon import events
from daemon.batches.batch_rows import OutRow, Settler
from daemon.host.clock import Clock
from daemon.sampling.budget import Ledger
from daemon.sampling.jobs import Job
from daemon.sampling.teacher import Teacher
from state.enums import BatchState
from state.writer import Writer

CHUNK = 256
"""Rows that are opened or stored together."""


@dataclass(slots=True, eq=False)
class OutBatch:
    """A batch that is being made or is out."""

    id: int
    mark: str
    requests: int
    created_ms: int
    rows: dict[str, OutRow]
    """What is not settled, by the attempt's request id."""
    look_at: float
    wait_s: float
    state: BatchState = BatchState.NEW
    provider_id: str = ""
    input_file_id: str = ""
    unsure: bool = False  # its creation was asked for, and what came of it is not known
    absent: int = 0  # looks that did not find it
    refused: int = 0  # refusals for a limit
    misses: int = 0  # downloads that left rows open
    status: str = ""
    done: int = 0  # as the provider counts

    @property
    def stored(self) -> int:
        """Rows whose end is stored."""
        return self.requests - len(self.rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shared:
    """What all keys of batches share."""

    boot_id: int
    writer: Writer
    ledger: Ledger
    bus: events.Bus
    clock: Clock
    settler: Settler
    deliver: Callable[[Job], None]
    out_of_money: Callable[[Job], None]
    parked: Callable[[Teacher], None]
    dry: Callable[[Teacher], bool]


@dataclass(slots=True)
class Mood:
    """What makes a key's next batch wait."""

    not_before: float = 0.0
    strikes: int = 0  # batches in a row that were refused, or brought no answer
    since: float | None = None  # when the requests that wait for a batch began to
    told: set[str] = field(default_factory=set)
