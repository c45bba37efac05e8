"""The records of a status. They hold the text of `state.db` unchanged."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from state.confidence_interval import wilson
from state.enums import ACTIVE_RUN_STATES, TRAIN
from state.given_up import count_once
from state.heartbeat import HeartbeatData
from state.views.triggers import TriggerStatus
from state.views.wordings import SearchStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class DaemonStatus:
    """The daemon: its own `state` (starting, running, paused, draining), or stopped, or down."""

    state: str
    pid: int | None = None
    boot_id: int | None = None
    uptime_s: float | None = None
    loop_lag_ms: float | None = None
    heartbeat_at: int | None = None
    ended_at: int | None = None
    exit_reason: str = ""
    silent: bool = False  # down by its heartbeat, but its process exists: it cannot write, or is suspended

    copied: bool = False  # its process has another file open: this one is a copy of its database

    @property
    def alive(self) -> bool:
        """Whether it can answer a command."""
        return self.state not in ("stopped", "down")


@dataclass(frozen=True, kw_only=True, slots=True)
class Spend:
    """Money and tokens.

    Dollars: `usd` is what is known to be billed, and never falls; `reserved_usd` what requests that have not ended may
    cost; `unknown_usd` what ended ones may have cost. All three count against the cap.
    """

    usd: float
    reserved_usd: float
    unknown_usd: float
    cap_usd: float | None
    prompt_tokens: int
    completion_tokens: int
    unknown_attempts: int

    @property
    def used_usd(self) -> float:
        """What counts against the cap."""
        return self.usd + self.reserved_usd + self.unknown_usd


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanStatus:
    """A configured plan on one task."""

    id: int
    name: str
    task: str
    teacher: str  # names, joined by commas
    split: str
    wanted: int
    in_flight: int
    stored: int
    accepted: int
    rejected: int
    failed: int
    skipped: int
    given_up: int = 0  # of the failed ones, those that it still asks for: `coterie retry`
    usd: float = 0.0  # known to be billed
    reserved_usd: float = 0.0
    unknown_usd: float = 0.0
    writes_rationale: bool = True
    samples: str = ""  # equal for plans that share samples: each counts them, one of them paid
    labelled: bool = True  # False: its task has no gold answers, and accepted ones were answered
    awaits: str = ""  # whom how many samples of a panel's member wait for
    shared: tuple[float, int] | None = (
        None  # what those plans spent together, and the most that one of them accepted
    )

    @property
    def usd_per_correct(self) -> float | None:
        """Dollars that are known to be billed per correct sample, wrong and failed ones included; None before the first."""
        usd, accepted = self.shared or (self.usd, self.accepted)
        return usd / accepted if self.accepted and self.labelled else None

    @property
    def correct(self) -> int:
        """How many are correct; 0 where there is no gold answer."""
        return self.accepted if self.labelled else 0

    @property
    def answered(self) -> int:
        """How many have an answer that can be read, where there is no gold answer; 0 elsewhere."""
        return 0 if self.labelled else self.accepted

    @property
    def graded(self) -> int:
        """How many are correct or wrong; 0 where there is no gold answer."""
        return self.accepted + self.rejected if self.labelled else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherStatus:
    """A teacher: counters since it was added, and its current state from the heartbeat."""

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
    usd: float  # as `Spend` has it, and so are the next two
    reserved_usd: float
    unknown_usd: float
    p50_ms: float | None
    p95_ms: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """An accuracy with all that it takes to judge it."""

    accuracy: float
    low: float  # of the 95 % interval
    high: float
    n: int
    seed: int | None = None  # of the training; None for a teacher, which has none
    run: int | None = None

    @classmethod
    def of(
        cls, correct: float, n: int, *, seed: int | None = None, run: int | None = None
    ) -> Accuracy | None:
        """Of `correct` in `n` questions; None without any."""
        if not n:
            return None
        low, high = wilson(correct, n)
        return cls(accuracy=correct / n, low=low, high=high, n=n, seed=seed, run=run)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStatus:
    """A student run; `task` is "joint" if it trains on several."""

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
    directory: str
    error: str
    early: bool = False
    """Whether the user had it finish before its last step."""
    kind: str = TRAIN
    """`train`, or the operation that makes its student from others."""
    sources: tuple[int, ...] = ()
    """The runs whose students it starts from."""
    test: Accuracy | None = None
    """On test, over the questions of all its tasks."""
    parameters: int | None = None
    """Of its student, over all members."""
    bytes: int | None = None
    """Of what must be kept to answer."""
    flops_per_question: float | None = None
    """Of an answer on test, on average."""

    @property
    def accuracy(self) -> float | None:
        """On test, 0 to 1."""
        return self.test.accuracy if self.test is not None else None

    @property
    def active(self) -> bool:
        """Whether it has a process."""
        return self.state in ACTIVE_RUN_STATES

    @property
    def state_text(self) -> str:
        """Its state, and whether it finished early."""
        return f"{self.state} early" if self.early else self.state


@dataclass(frozen=True, slots=True)
class WaitingStudent:
    """A student that waits for another one, which it starts from or is made from."""

    student: str
    task: str
    """"joint" if it trains on several."""
    source: str
    """`student on task`."""
    why: str
    """Why that one is not there."""
    run: int | None = None
    """Its queued run, if it has one."""

    @property
    def words(self) -> str:
        """It in one sentence."""
        return f"student {self.student} on {self.task} waits for {self.source}: {self.why}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskStatus:
    """A task: samples of its train questions, what its next student waits for, and accuracies."""

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
    trigger: TriggerStatus | None  # the nearest one that is not reached
    triggers: tuple[TriggerStatus, ...]
    students: tuple[str, ...]
    best: Accuracy | None  # on test, of the run that is the best on dev
    teacher: Accuracy | None  # of its best teacher, on the same questions
    eta_s: float | None
    run_id: int | None  # an active or queued run of this task
    unreadable: int = 0  # further questions, not used: their gold answer cannot be read
    labelled: bool = True  # False: no gold answers; accepted samples are those that were answered

    @property
    def questions(self) -> int:
        """Questions of all splits."""
        return self.train + self.dev + self.test

    @property
    def correct_share(self) -> float | None:
        """Share of correct ones among the graded train samples, 0 to 1; None without gold answers."""
        return share(self.accepted, self.accepted + self.rejected) if self.labelled else None

    @property
    def good_word(self) -> str:
        """What accepted samples are."""
        return "correct" if self.labelled else "answered"


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """A problem: `what` happened, `why` (often a long text of a provider), and the `remedy`."""

    what: str
    why: str = ""
    remedy: str = ""
    subject: str = ""  # "teacher:NAME", "run:ID", or empty for the daemon itself

    @property
    def words(self) -> str:
        """The alert in one sentence."""
        return self.what + (f": {self.why}" if self.why else "") + (f"; {self.remedy}" if self.remedy else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingCommand:
    """A command that the daemon has not answered yet."""

    id: int
    kind: str
    args: dict[str, Any]
    created_at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """The status at `at` (UTC milliseconds)."""

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
    waiting: tuple[WaitingStudent, ...] = ()
    wordings: tuple[SearchStatus, ...] = ()

    def says_the_same(self, other: Status) -> bool:
        """Whether nothing but the moment differs: the time, the heartbeat's, how long it runs, how late it is."""
        return self._timeless() == other._timeless()

    def _timeless(self) -> Status:
        return replace(
            self,
            at=0,
            daemon=replace(self.daemon, heartbeat_at=None, uptime_s=None, loop_lag_ms=None),
            heartbeat=replace(self.heartbeat, loop_lag_ms=0.0, commit_lag_ms=0.0, memory_mb=0.0),
        )

    @property
    def notices(self) -> tuple[str, ...]:
        """The alerts as sentences."""
        return tuple(trouble.words for trouble in self.alerts)

    @property
    def given_up(self) -> tuple[int, int]:
        """How many samples were given up, of how many wanted; plans that share samples count once."""
        return count_once(
            (each.samples or str(each.id), each.given_up, each.wanted) for each in self.plans if each.given_up
        )

    @property
    def finished(self) -> bool:
        """Whether the daemon runs (or has ended) with nothing left to do: all is sampled, no run is due."""
        busy = any(run.active or run.state == "queued" for run in self.runs)
        still = self.heartbeat.requests_per_second == 0
        waits = self.daemon.state in ("running", "stopped")
        return waits and self.sampled and still and not busy

    @property
    def sampled(self) -> bool:
        """Whether nothing is left to sample."""
        return bool(self.plans) and all(
            plan.stored + plan.failed + plan.skipped >= plan.wanted for plan in self.plans
        )

    @property
    def active_runs(self) -> tuple[RunStatus, ...]:
        """Runs with a process."""
        return tuple(run for run in self.runs if run.active)


def share(part: int, whole: int) -> float | None:
    """`part` of `whole`, 0 to 1; None if `whole` is 0."""
    return part / whole if whole else None
