"""What is true only now: the daemon's `pulse` row, rewritten once a second. Its form is shared with readers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")  # a newer daemon may say more


class TeacherPulse(_Part):
    """One teacher, all its keys together."""

    state: str = "ready"
    """ready | paused | limited | parked | cooling (breaker open)."""
    reason: str = ""
    in_flight: int = 0
    cap: int = 0
    queued: int = 0
    requests_per_minute: float = 0.0
    """Sent over the last minute (extrapolated in the first)."""
    tokens_per_minute: float = 0.0
    requests_limit: float | None = None
    tokens_limit: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    resumes_in_s: float | None = None
    """Seconds until the pause ends."""
    bound_by: str = ""
    """What limits it now: "requests/min", "tokens/min", "input tokens/min", "output tokens/min", "concurrency",
    "storing" (answers that are not on disk yet), "pause", "limit a day", "" (nothing)."""
    shared_with: int = 0
    """Other processes of this machine (their keys) with which its limits are shared now."""
    errors: dict[str, int] = Field(default_factory=dict)
    """Failures since this daemon started, by class."""
    caps: list[int] = Field(default_factory=list)
    """The cap over the last minute."""


class PulseData(_Part):
    """What the daemon does now."""

    loop_lag_ms: float = 0.0
    commit_lag_ms: float = 0.0
    in_flight: int = 0
    waiting_retry: int = 0
    requests_per_second: float = 0.0
    tokens_per_second: float = 0.0
    retries_per_second: float = 0.0
    share_429: float = 0.0
    """429s among the answers of the last minute, 0 to 1."""
    memory_mb: float = 0.0
    notice: str = ""
    """What a person must know: budget reached, disk full, …; empty when all is well."""
    teachers: dict[str, TeacherPulse] = Field(default_factory=dict)
    tasks: dict[str, float] = Field(default_factory=dict)
    """Accepted samples a minute of each task, over the last minutes."""
    requests: list[float] = Field(default_factory=list)
    tokens: list[float] = Field(default_factory=list)
    limited: list[float] = Field(default_factory=list)
    retries: list[float] = Field(default_factory=list)
