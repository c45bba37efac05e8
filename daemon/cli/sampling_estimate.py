"""The records of an estimate of sampling: plans, the teachers that share them, and all of it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class TeacherShare:
    """What one teacher is expected to do of a plan on a task."""

    teacher: str
    samples: float = 0.0
    requests: float = 0.0
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    usd: float = 0.0
    held_tokens: float = 0.0
    """Completion tokens that requests may bring, by their limits."""


@dataclass(slots=True)
class PlanEstimate:
    """What is left of a plan on a task."""

    plan: str
    task: str
    split: str
    samples: float
    """Expected."""
    most_samples: int
    most_requests: int
    most_usd: float
    """If every answer takes all the tokens that it may take, at the plan's most expensive teacher."""
    teachers: list[TeacherShare] = field(default_factory=list)
    basis: str = ""
    """Where the lengths and the share of correct samples are from."""

    @property
    def requests(self) -> float:
        """Expected requests."""
        return sum(each.requests for each in self.teachers)

    @property
    def prompt_tokens(self) -> float:
        """Expected prompt tokens."""
        return sum(each.prompt_tokens for each in self.teachers)

    @property
    def completion_tokens(self) -> float:
        """Expected completion tokens."""
        return sum(each.completion_tokens for each in self.teachers)

    @property
    def usd(self) -> float:
        """Expected dollars."""
        return sum(each.usd for each in self.teachers)


@dataclass(slots=True)
class TeacherEstimate:
    """What a teacher is expected to do in all, and how long its limits make it take."""

    name: str
    requests: float
    prompt_tokens: float
    completion_tokens: float
    usd: float
    seconds: float | None
    """None where no limit is configured, or answers come in batches."""
    note: str = ""


@dataclass(slots=True)
class SamplingEstimate:
    """All plans and teachers. `budget_usd` is the cap in force, `used_usd` what counts against it already."""

    plans: list[PlanEstimate]
    teachers: list[TeacherEstimate]
    budget_usd: float | None
    used_usd: float

    @property
    def usd(self) -> float:
        """Expected dollars."""
        return sum(each.usd for each in self.plans)

    @property
    def most_usd(self) -> float:
        """Dollars at most: every request is answered once, and the budget ends the work."""
        total = sum(each.most_usd for each in self.plans)
        return total if self.budget_usd is None else min(total, max(0.0, self.budget_usd - self.used_usd))

    @property
    def seconds(self) -> float | None:
        """The time of the slowest teacher, as they work at the same time; None where one is unknown."""
        times = [each.seconds for each in self.teachers]
        known = [each for each in times if each is not None]
        return max(known, default=0.0) if len(known) == len(times) else None
