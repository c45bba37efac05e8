"""The plans a daemon works on, made of the configuration and rows of `state.db`."""

from __future__ import annotations

from dataclasses import dataclass, field

from daemon.sampling.plan_state import PlanState
from engine.config import AnswerFormat, PlanConfig
from engine.strategies import PLAIN, Wording


@dataclass(slots=True, eq=False)
class ActivePlan:
    """A plan at work on one task."""

    id: int
    config: PlanConfig
    task: str
    task_id: int
    answer_format: AnswerFormat
    recipe: str  # of a former plan: the one that its samples in hand have from now on
    teachers: tuple[str, ...]
    wanted: int
    longest: int  # bytes of the longest question
    fallbacks: tuple[str, ...] = ()  # take over in this order while all teachers before are out
    gold: str = ""  # the longest gold answer, for hints
    wording: Wording = PLAIN
    needs: int | None = None  # id of the plan that must be done first
    labelled: bool = True  # whether its questions have gold answers
    panel: str = ""  # the fingerprint that the members of a panel share
    member: int = 0
    served: int | None = None  # the run whose student it asks
    waits_for: str = ""  # the student that has no such run yet, in words
    undecided: bool = (
        False  # of a wording that is tried: it may be asked further questions when others have been graded
    )
    state: PlanState = field(default_factory=PlanState)
    virtual_time: float = 0.0
    """Stride scheduling: the plan with the least is next; each claim adds its samples divided by the weight."""

    @property
    def open(self) -> int:
        """Samples that were claimed and have not ended."""
        return self.state.open

    @property
    def exhausted(self) -> bool:
        """Whether nothing more will be claimed."""
        return self.state.exhausted

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.state.done and not self.undecided

    @property
    def tiers(self) -> list[tuple[str, ...]]:
        """Who serves it: its teachers, else the first fallback, and so on."""
        return [self.teachers, *((name,) for name in self.fallbacks)]

    @property
    def all_teachers(self) -> tuple[str, ...]:
        """All teachers that may serve it."""
        return self.teachers + self.fallbacks

    @property
    def samples(self) -> tuple[int, str, str]:
        """Which samples it asks for: task, split and fingerprint."""
        return self.task_id, self.config.split, self.recipe

    def shares(self, other: ActivePlan) -> bool:
        """Whether both ask for the same samples, so that a claim by one counts for both."""
        return self is not other and self.samples == other.samples

    def same_panel(self, other: ActivePlan) -> bool:
        """Whether both are plans of one panel's members."""
        mine, its = ((plan.panel, plan.task_id, plan.config.split) for plan in (self, other))
        return bool(self.panel) and mine == its

    @property
    def by_need(self) -> bool:
        """Whether verdicts decide how many samples are claimed."""
        return bool(self.config.want or self.config.correct_per_task)

    def renew(self, now: ActivePlan) -> None:
        """Takes over the reloaded configuration of the same plan."""
        self.recipe = now.recipe
        self.config, self.teachers, self.fallbacks = now.config, now.teachers, now.fallbacks
        self.wanted, self.longest = now.wanted, now.longest
        self.gold, self.wording, self.needs = now.gold, now.wording, now.needs
        self.panel, self.member, self.labelled = now.panel, now.member, now.labelled
        self.served, self.waits_for = now.served, now.waits_for
        self.undecided = now.undecided
        self.state.renewed(now.state)
