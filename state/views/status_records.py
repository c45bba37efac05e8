"""The records of a status: what is known at a glance. They hold what stands in `state.db`, unchanged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from state.enums import ACTIVE_RUN_STATES
from state.heartbeat import HeartbeatData
from state.views.triggers import Trigger


@dataclass(frozen=True, kw_only=True, slots=True)
class DaemonStatus:
    """The daemon: `state` is its own word (starting, running, paused, draining), or stopped, or down."""

    state: str
    pid: int | None = None
    boot_id: int | None = None
    uptime_s: float | None = None
    loop_lag_ms: float | None = None
    heartbeat_at: int | None = None
    ended_at: int | None = None
    exit_reason: str = ""
    silent: bool = False  # down by its pulse, though its process is there: it cannot write, or was stopped

    @property
    def alive(self) -> bool:
        """Whether it is there to answer a command."""
        return self.state not in ("stopped", "down")


@dataclass(frozen=True, kw_only=True, slots=True)
class Spend:
    """Money: settled, and reserved for attempts that are in flight or unknown."""

    usd: float
    cap_usd: float | None
    prompt_tokens: int
    completion_tokens: int
    unknown_attempts: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanStatus:
    """A plan of the configuration for one task."""

    id: int
    name: str
    task: str
    teacher: str  # names, joined by commas where several share the work
    split: str
    wanted: int
    in_flight: int
    stored: int
    accepted: int
    rejected: int
    failed: int
    skipped: int
    usd: float = 0.0  # settled; what is in flight is not in it
    strategy: str = ""
    samples: str = ""  # equal for plans that share their samples: each counts them, one of them paid
    shared: tuple[float, int] | None = (
        None  # what those plans spent together, and the most that one of them accepted
    )

    @property
    def usd_per_correct(self) -> float | None:
        """What a correct sample cost, wrong and failed ones paid for; None before there is one."""
        usd, accepted = self.shared or (self.usd, self.accepted)
        return usd / accepted if self.accepted else None


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherStatus:
    """A teacher: counters of all its life, and what the pulse says of now."""

    id: int
    name: str
    model: str
    state: str
    reason: str
    in_flight: int
    cap: int
    requests_per_minute: float
    tokens_per_minute: float
    requests: int
    answered: int
    status_429: int
    retries: int
    errors: int
    unknown_attempts: int
    prompt_tokens: int
    completion_tokens: int
    usd: float
    p50_ms: float | None
    p95_ms: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStatus:
    """A student run; `task` is "joint" where it reads several."""

    id: int
    student: str
    task: str
    trigger: str
    state: str
    method: str
    samples: int
    step: int
    steps: int
    loss: float | None
    tokens_per_second: float | None
    eta_s: float | None
    accuracy: float | None
    directory: str
    error: str

    @property
    def active(self) -> bool:
        """Whether a process works on it."""
        return self.state in ACTIVE_RUN_STATES


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskStatus:
    """A task: what was sampled of its train questions, what its next student waits for, how good they are."""

    id: int
    name: str
    source: str
    answer_format: str
    paused: bool
    train: int
    dev: int
    test: int
    wanted: int
    stored: int
    accepted: int
    rejected: int
    trigger: Trigger | None
    triggers: tuple[Trigger, ...]
    students: tuple[str, ...]
    best_accuracy: float | None  # of a student, on the test split
    teacher_accuracy: float | None  # of the best of its teachers, on the same questions
    eta_s: float | None
    run_id: int | None  # a run of this task that is active or queued

    @property
    def questions(self) -> int:
        """Questions of all splits."""
        return self.train + self.dev + self.test

    @property
    def correct_share(self) -> float | None:
        """Accepted among the graded train samples, 0 to 1."""
        return share(self.accepted, self.accepted + self.rejected)


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """`what` is wrong, `why` (someone else's words, maybe long), and the `remedy`."""

    what: str
    why: str = ""
    remedy: str = ""
    subject: str = ""  # "teacher:NAME", "run:ID", or nothing for the daemon itself

    @property
    def words(self) -> str:
        """All of it in one sentence."""
        return self.what + (f": {self.why}" if self.why else "") + (f"; {self.remedy}" if self.remedy else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingCommand:
    """Something a person asked for and the daemon has not answered yet."""

    id: int
    kind: str
    args: dict[str, Any]
    created_at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """All of it, at `at` (UTC milliseconds)."""

    at: int
    daemon: DaemonStatus
    spend: Spend
    tasks: tuple[TaskStatus, ...]
    plans: tuple[PlanStatus, ...]
    teachers: tuple[TeacherStatus, ...]
    runs: tuple[RunStatus, ...]  # by id, oldest first
    alerts: tuple[Alert, ...]
    commands: tuple[PendingCommand, ...]
    heartbeat: HeartbeatData = field(default_factory=HeartbeatData)  # empty while no daemon runs

    @property
    def notices(self) -> tuple[str, ...]:
        """The troubles in words."""
        return tuple(trouble.words for trouble in self.alerts)

    @property
    def active_runs(self) -> tuple[RunStatus, ...]:
        """Runs a process works on now."""
        return tuple(run for run in self.runs if run.active)


def share(part: int, whole: int) -> float | None:
    """`part` of `whole`, 0 to 1; None of nothing."""
    return part / whole if whole else None
