"""A batch that is being made or is out, and what the keys of batch teachers share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from daemon.batches.batch_rows import OutRow, Settler
from daemon.sampling.context import Context
from daemon.sampling.jobs import Job
from daemon.sampling.teacher import Teacher
from engine.config import TeacherConfig
from engine.teachers.batch_client import BatchClient
from engine.teachers.dialects import BatchSettings
from state.enums import BatchState

CHUNK = 256
"""Rows that are opened or stored together."""
MOST_OUT = 8
"""Batches of one key that are out at once, where `concurrency` is not set."""
POLL_S = 60.0
POLL_BUILTIN_S = 1.0


@dataclass(slots=True, eq=False)
class OutBatch:
    """A batch that is being made or is out."""

    id: int
    mark: str
    requests: int
    created_ms: int
    rows: dict[str, OutRow]
    """Rows that are not settled, by the attempt's request id."""
    look_at: float
    wait_s: float
    state: BatchState = BatchState.NEW
    provider_id: str = ""
    input_file_id: str = ""
    unsure: bool = False  # its creation was requested, and the result is not known
    absent: int = 0  # looks that did not find it
    refused: int = 0  # refusals for a limit
    misses: int = 0  # downloads that left rows open
    status: str = ""
    done: int = 0  # as the provider counts
    sent_ms: int = 0

    @property
    def stored(self) -> int:
        """Rows whose end is stored."""
        return self.requests - len(self.rows)


class BatchLink:
    """How one teacher's batches are sent: the client, and the sizes and waits in force."""

    def __init__(self, client: BatchClient, config: TeacherConfig) -> None:
        self.client = client
        self.config = config
        self.settings = _settings(config)
        self.size = self.settings.batch_requests
        """Requests of a batch; cut when the provider's queue has no room for one so large."""

    @property
    def poll_s(self) -> float:
        """Seconds until a batch is first looked at."""
        given = self.settings.batch_poll_seconds
        return given if given is not None else POLL_BUILTIN_S if self.config.builtin else POLL_S

    @property
    def most_out(self) -> int:
        """Batches of one key that may be out at once."""
        return self.config.concurrency or MOST_OUT

    def configure(self, config: TeacherConfig) -> None:
        """Other settings; a size that was cut stays so unless another one is configured."""
        settings = _settings(config)
        if settings.batch_requests != self.settings.batch_requests:
            self.size = settings.batch_requests
        self.config, self.settings = config, settings

    def cut(self, requests: int) -> None:
        """The provider has no room for a batch of this many requests: the next ones are half as large."""
        self.size = max(1, min(self.size, requests // 2))


def _settings(config: TeacherConfig) -> BatchSettings:
    """The keys that dialects served by batches have."""
    assert isinstance(config.settings, BatchSettings)
    return config.settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Shared:
    """What the keys of all batch teachers share."""

    context: Context
    settler: Settler
    deliver: Callable[[Job], None]
    out_of_money: Callable[[Job], None]
    parked: Callable[[Teacher], None]
    nothing_to_claim: Callable[[Teacher], bool]


@dataclass(slots=True)
class SendWait:
    """What makes a key's next batch wait."""

    not_before: float = 0.0
    refusals: int = 0  # batches in a row that were refused, or brought no answer
    since: float | None = None  # when the requests that wait for a batch began to
    noted: set[str] = field(default_factory=set)
