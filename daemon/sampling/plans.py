"""The plans a daemon works on: configuration and rows of `state.db`, brought together."""

from __future__ import annotations

from dataclasses import dataclass

from engine.config import AnswerFormat, PlanConfig
from engine.strategies import PLAIN, Wording


@dataclass(slots=True, eq=False)
class ActivePlan:
    """A plan at work on one task. `passes` is its turn in the weighted round robin."""

    id: int
    config: PlanConfig
    task: str
    task_id: int
    answer_format: AnswerFormat
    recipe: str
    teachers: tuple[str, ...]
    wanted: int
    longest: int  # characters of its longest question
    fallbacks: tuple[str, ...] = ()  # teachers that take over, in this order, while none of `teachers` can
    gold: str = ""  # its longest gold answer: what a hint may hold
    wording: Wording = PLAIN
    needs: int | None = None  # id of the plan that comes first
    exhausted: bool = False  # nothing more will be claimed
    waiting: bool = False  # nothing is to be claimed before a further verdict
    unsettled: bool = True  # verdicts came since it was last asked whether it is exhausted
    open: int = 0  # samples claimed and not ended
    shared_out: bool = False  # another plan perhaps has samples in hand that this one asks for too
    paused: bool = False
    retired: bool = False  # no longer in the configuration: what is in flight ends, nothing more is sent
    completed: bool = False
    passes: float = 0.0

    @property
    def held(self) -> bool:
        """Whether its jobs wait outside the queues."""
        return self.paused or self.retired

    @property
    def tiers(self) -> list[tuple[str, ...]]:
        """Who serves it: all of its teachers, else the first fallback, and so on."""
        return [self.teachers, *((name,) for name in self.fallbacks)]

    @property
    def everyone(self) -> tuple[str, ...]:
        """All teachers that may serve it."""
        return self.teachers + self.fallbacks

    def shares(self, other: ActivePlan) -> bool:
        """Whether both ask for the same samples, so that who claims one claims it for both."""
        mine, its = ((plan.task_id, plan.config.split, plan.recipe) for plan in (self, other))
        return self is not other and mine == its

    @property
    def by_need(self) -> bool:
        """Whether verdicts decide what is claimed next."""
        return bool(self.config.want or self.config.correct_per_task)

    def renew(self, now: ActivePlan) -> None:
        """Takes over what a new reading of the configuration says of the same plan."""
        self.config, self.teachers, self.fallbacks = now.config, now.teachers, now.fallbacks
        self.waiting, self.unsettled = False, True
        self.wanted, self.longest, self.exhausted = now.wanted, now.longest, now.exhausted
        self.gold, self.wording, self.needs = now.gold, now.wording, now.needs
        self.shared_out = now.shared_out
        self.paused, self.retired = now.paused, False
        self.completed = self.completed and self.done

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.exhausted and self.open == 0 and not self.shared_out
