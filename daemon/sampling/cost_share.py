"""How a plan's teachers share its work with `share = "by-cost"`: the more, the cheaper a correct sample of theirs is.

The policy that selects a student's rows (`engine.policy`) as a bandit: its arms are the teachers, and each graded sample is a reward,

    1 if it is correct, less its cost in the present price of a correct sample.

It learns from the stored samples in the order in which they were stored, sixteen at a time, so its state is a function of the database: after a
restart it is the same. A teacher gets work by stride scheduling with its share as weight; one that cannot be asked now is left out, and does not
catch up afterwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from daemon.sampling.plans import ActivePlan
from engine.policy import Policy
from state.teacher_outcomes import TeacherOutcome, outcomes_after
from state.writer import Writer

FLOOR = 0.05
"""Of the policy: with two teachers, the worse one gets a twentieth in the end."""
TOGETHER = 16
"""Samples that it learns from at a time."""
AHEAD = 32
"""Samples of the plan by which teachers may differ from their shares."""


class CostShare:
    """The shares of the teachers of one plan.

    Args:
        teachers: their ids.
    """

    def __init__(self, teachers: Sequence[int]) -> None:
        self.teachers = tuple(teachers)
        self.place = 0
        """Of the newest sample that it has seen."""
        self._arms = {teacher: arm for arm, teacher in enumerate(self.teachers)}
        self._policy = Policy.new(len(self.teachers), 1, FLOOR)
        self._waiting: list[TeacherOutcome] = []
        self._correct = self._micros = 0
        self._virtual_time = dict.fromkeys(self.teachers, 0.0)

    def learn(self, outcomes: Iterable[TeacherOutcome]) -> None:
        """Graded samples, in the order in which they were stored, each once."""
        for each in outcomes:
            self.place = each.place
            if each.teacher_id in self._arms:  # a teacher of this plan, still
                self._waiting.append(each)
                if len(self._waiting) == TOGETHER:
                    self._learn(self._waiting)
                    self._waiting = []

    def _learn(self, outcomes: Sequence[TeacherOutcome]) -> None:
        self._correct += sum(each.correct for each in outcomes)
        self._micros += sum(each.micros for each in outcomes)
        price = self._micros / max(1, self._correct)
        rewards = np.array([each.correct - (each.micros / price if price else 0.0) for each in outcomes])
        arms = np.array([self._arms[each.teacher_id] for each in outcomes])
        ones = np.ones(len(outcomes))
        self._policy.learn(arms, ones[:, None], ones, rewards)

    def shares(self, able: Sequence[int]) -> dict[int, float]:
        """The shares of those teachers that can be asked."""
        arms = np.array([self._arms[teacher] for teacher in able])
        keep = self._policy.keep(arms, np.ones((len(arms), 1)))
        return dict(zip(able, (keep / keep.sum()).tolist(), strict=True))

    def room(self, teacher: int, able: Sequence[int]) -> int:
        """How many samples a teacher may claim now. Some teacher of `able` always may claim one.

        Args:
            teacher: who asks.
            able: the teachers of the plan that can be asked now.
        """
        if teacher not in self._arms or teacher not in able:  # a fallback: it takes over as without shares
            return TOGETHER * AHEAD
        times = self._virtual_time
        behind = min(times[each] for each in able)
        for each in self.teachers:
            if each not in able:
                times[each] = max(times[each], behind)
        left = (behind + AHEAD - times[teacher]) * self.shares(able)[teacher]
        return max(int(left), 1 if times[teacher] == behind else 0)

    def claimed(self, teacher: int, count: int, able: Sequence[int]) -> None:
        """A teacher claimed samples."""
        if teacher in self._arms and teacher in able:
            self._virtual_time[teacher] += count / self.shares(able)[teacher]


class CostShares:
    """The plans whose teachers share by cost; every other plan has room for whatever is asked.

    Args:
        writer: reads what was stored.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._by_plan: dict[int, CostShare] = {}
        self._graded: Counter[str] = Counter()

    def graded(self, task: str) -> None:
        """A sample of a task ended."""
        self._graded[task] += 1

    async def look(self, plans: Mapping[ActivePlan, Sequence[int]]) -> None:
        """Learns what was stored since, where that is enough. `plans`: the teachers of each plan that shares by cost."""
        for plan, teachers in plans.items():
            share = self._by_plan.get(plan.id)
            if share is None or share.teachers != tuple(teachers):
                share = self._by_plan[plan.id] = CostShare(teachers)
            elif self._graded[plan.task] < TOGETHER:
                continue
            share.learn(await self._writer.do(outcomes_after, (plan.id, share.place)))
        for gone in set(self._by_plan) - {plan.id for plan in plans}:
            del self._by_plan[gone]
        self._graded = Counter({task: n for task, n in self._graded.items() if n < TOGETHER})

    def room(self, plan: ActivePlan, teacher: int, able: Sequence[int], count: int) -> int:
        """How many of `count` samples of a plan a teacher may claim now; `able`: the teachers that can be asked for it."""
        share = self._by_plan.get(plan.id)
        return count if share is None else min(count, share.room(teacher, able))

    def claimed(self, plan: ActivePlan, teacher: int, count: int, able: Sequence[int]) -> None:
        """A teacher claimed samples of a plan."""
        if share := self._by_plan.get(plan.id):
            share.claimed(teacher, count, able)
