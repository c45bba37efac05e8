"""Money: caps over everything, each teacher and each plan, held with requests in flight.

All amounts are integer micro-dollars. A request's upper bound is reserved before it is sent and
replaced by its true cost when it ends, so spent + reserved never passes a cap. Pure: it knows no
database; the daemon fills it from the stored totals when it starts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from engine.teachers.apportion import apportion

_PARTS = 10**9
"""Prices are counted in so many parts of a micro-dollar, as whole numbers: sums of them are exact."""

BUDGET = "the budget ([daemon] budget_usd)"


@dataclass(frozen=True, slots=True)
class Price:
    """Micro-dollars a token (equal to dollars a million tokens).

    `cache_write` and `reasoning` None: as other prompt tokens, and as other completion tokens.
    """

    input: float
    output: float
    cached: float
    cache_write: float | None = None
    reasoning: float | None = None

    def cost(
        self, prompt: int, completion: int, cached: int = 0, cache_write: int = 0, reasoning: int = 0
    ) -> int:
        """The cost of an answer, rounded up: never below what is billed.

        Args:
            prompt: all prompt tokens.
            completion: all completion tokens.
            cached: those of the prompt that were read from a cache.
            cache_write: those of the prompt that were written to one.
            reasoning: those of the completion that were reasoning.
        """
        return -(-self._exact_cost(prompt, completion, cached, cache_write, reasoning) // _PARTS)

    def _exact_cost(
        self, prompt: int, completion: int, cached: int = 0, cache_write: int = 0, reasoning: int = 0
    ) -> int:
        """The same in parts of a micro-dollar."""
        write = self.input if self.cache_write is None else self.cache_write
        thought = self.output if self.reasoning is None else self.reasoning
        return (
            (prompt - cached - cache_write) * _exact(self.input)
            + cached * _exact(self.cached)
            + cache_write * _exact(write)
            + (completion - reasoning) * _exact(self.output)
            + reasoning * _exact(thought)
        )

    def shares(self, parts: Sequence[Sequence[int]]) -> list[int]:
        """What each part of one answer costs, with tokens as `cost` takes them; together they cost what the answer does."""
        if len(parts) == 1:
            return [self.cost(*parts[0])]
        whole = self.cost(*(sum(tokens) for tokens in zip(*parts, strict=True)))
        return apportion(whole, [self._exact_cost(*part) for part in parts])

    def bound(self, prompt: int, completion: int) -> int:
        """An upper bound of the cost of a request that was not sent yet: every token at its dearest."""
        dearest = _exact(max(self.input, self.cached, self.cache_write or 0.0))
        spoken = _exact(max(self.output, self.reasoning or 0.0))
        return -(-(prompt * dearest + completion * spoken) // _PARTS)


@lru_cache(maxsize=256)
def _exact(price: float) -> int:
    return round(price * _PARTS)


@dataclass(slots=True)
class Account:
    """One cap and what counts against it; `cap` None is no cap."""

    cap: int | None
    used: int = 0  # spent and reserved
    reserved: int = 0  # of it, for what has not ended
    words: str = BUDGET

    def room(self) -> float:
        """What is left."""
        return math.inf if self.cap is None else self.cap - self.used

    def left_over(self) -> float:
        """What would be left if all that is reserved came back."""
        return self.room() + self.reserved


class Aside(NamedTuple):
    """Micro-dollars of the three accounts that a request counts against which are for others."""

    total: int
    teacher: int
    plan: int


class Ledger:
    """The accounts a request counts against: everything, its teacher's and its plan's."""

    def __init__(self, total_cap: int | None, used: int = 0, reserved: int = 0) -> None:
        self.total = Account(total_cap, used, reserved)
        self._teachers: dict[int, Account] = {}
        self._plans: dict[int, Account] = {}

    def add_teacher(
        self, teacher_id: int, cap: int | None, used: int, *, reserved: int = 0, name: str = ""
    ) -> None:
        """A teacher with what it already used, and how much of that is only reserved."""
        key = f" (teachers.{name}.budget_usd)" if name else ""
        self._teachers[teacher_id] = Account(cap, used, reserved, f"the teacher's budget{key}")

    def add_plan(
        self, plan_id: int, cap: int | None, used: int, *, reserved: int = 0, name: str = "", task: str = ""
    ) -> None:
        """A plan with what it already used, and how much of that is only reserved."""
        key = f" (budget_usd of plan {name}, task {task})" if name else ""
        self._plans[plan_id] = Account(cap, used, reserved, f"the plan's budget{key}")

    def cap_teacher(self, teacher_id: int, cap: int | None) -> None:
        """Another cap for a teacher; what it used stays."""
        self._teachers[teacher_id].cap = cap

    def cap_plan(self, plan_id: int, cap: int | None) -> None:
        """Another cap for a plan; what it used stays."""
        self._plans[plan_id].cap = cap

    def room(self, plan_id: int, teacher_id: int) -> float:
        """Micro-dollars that a request of this plan to this teacher may still cost."""
        return min(account.room() for account in self._of(plan_id, teacher_id))

    def free(self, plan_id: int, teacher_id: int, aside: Aside) -> float:
        """The same for something new, where some of the room is set aside for what was begun."""
        total, teacher, plan = self._of(plan_id, teacher_id)
        return min(total.room() - aside.total, teacher.room() - aside.teacher, plan.room() - aside.plan)

    def reserve(self, plan_id: int, teacher_id: int, micros: int) -> bool:
        """Takes `micros` from every account, or from none where one has too little."""
        if micros > self.room(plan_id, teacher_id):
            return False
        for account in self._of(plan_id, teacher_id):
            account.used += micros
            account.reserved += micros
        return True

    def settle(self, plan_id: int, teacher_id: int, reserved: int, cost: int) -> None:
        """Replaces a reservation by what was billed."""
        for account in self._of(plan_id, teacher_id):
            account.used += cost - reserved
            account.reserved -= reserved

    def binding(self, plan_id: int, teacher_id: int) -> str:
        """Which cap leaves the least room, in a person's words."""
        return min(self._of(plan_id, teacher_id), key=Account.room).words

    def used_up(self, plan_id: int, teacher_id: int, need: int) -> Account | None:
        """The account that is too small for a request of `need` whatever the requests that are out will cost."""
        least = min(self._of(plan_id, teacher_id), key=Account.left_over)
        return least if least.left_over() < need else None

    def binds_teacher(self, plan_id: int, teacher_id: int, need: int) -> bool:
        """Whether the teacher's own cap is what is too small for a request of `need`, whatever those that are out cost.

        Then another teacher may have more. Money that is only reserved comes back: until then the work waits.
        """
        return self.used_up(plan_id, teacher_id, need) is self._teachers[teacher_id]

    def _of(self, plan_id: int, teacher_id: int) -> tuple[Account, Account, Account]:
        return self.total, self._teachers[teacher_id], self._plans[plan_id]


def micros(usd: float | None) -> int | None:
    """Dollars of the configuration as micro-dollars."""
    return None if usd is None else round(usd * 1_000_000)
