"""Budgets over everything, for each teacher and for each plan, kept with requests in flight. Pure.

All amounts are integer micro-dollars. The upper bound of a request's cost is reserved before it is sent and
replaced by its cost when it ends, or counted as unknown if it may have been billed, so spent + reserved + unknown never
exceeds a budget. The daemon fills the accounts from the stored totals when it starts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from daemon.sampling.plans import ActivePlan
from state.budget import Spending
from state.views.format import exact_spending

PARTS = 10**9
"""Costs are counted in these parts of a micro-dollar, as whole numbers, so that sums are exact."""

NOTHING_YET = Spending()

BUDGET = "the budget ([daemon] budget_usd)"


@dataclass(frozen=True, slots=True)
class Price:
    """Micro-dollars per token (equal to dollars per million tokens).

    `cache_write` and `reasoning` None: as other prompt tokens, and as other completion tokens.
    """

    input: float
    output: float
    cached: float
    cache_write: float | None = None
    reasoning: float | None = None

    def parts(
        self, prompt: int, completion: int, cached: int = 0, cache_write: int = 0, reasoning: int = 0
    ) -> int:
        """The exact cost of an answer, in parts of a micro-dollar.

        Args:
            prompt: all prompt tokens.
            completion: all completion tokens.
            cached: those of the prompt that were read from a cache.
            cache_write: those of the prompt that were written to one.
            reasoning: those of the completion that were reasoning.
        """
        write = self.input if self.cache_write is None else self.cache_write
        thought = self.output if self.reasoning is None else self.reasoning
        return (
            (prompt - cached - cache_write) * _exact(self.input)
            + cached * _exact(self.cached)
            + cache_write * _exact(write)
            + (completion - reasoning) * _exact(self.output)
            + reasoning * _exact(thought)
        )

    def bound(self, prompt: int, completion: int) -> int:
        """An upper bound of the cost of a request that was not sent yet: every token at its highest price."""
        dearest = _exact(max(self.input, self.cached, self.cache_write or 0.0))
        spoken = _exact(max(self.output, self.reasoning or 0.0))
        return -(-(prompt * dearest + completion * spoken) // PARTS)


@lru_cache(maxsize=256)
def _exact(price: float) -> int:
    return round(price * PARTS)


@dataclass(slots=True)
class Account:
    """One budget and what counts against it; `cap` None: unlimited."""

    cap: int | None
    spent: int = 0
    reserved: int = 0  # for requests that have not ended
    unknown: int = 0  # of requests that may have been billed
    words: str = BUDGET

    @classmethod
    def of(cls, cap: int | None, before: Spending, words: str) -> Account:
        """An account that continues with what was stored."""
        return cls(cap, before.spent, before.reserved, before.unknown, words)

    @property
    def used(self) -> int:
        """What counts against the cap."""
        return self.spent + self.reserved + self.unknown

    def room(self) -> float:
        """The amount left."""
        return math.inf if self.cap is None else self.cap - self.used

    def left_over(self) -> float:
        """The amount left if all reservations came back."""
        return self.room() + self.reserved

    def figures(self) -> str:
        """For example "$0.0198 of $0.02 spent, $0.0000 reserved, $0.0001 unknown"."""
        cap = None if self.cap is None else self.cap / 1e6
        return exact_spending(self.spent / 1e6, self.reserved / 1e6, self.unknown / 1e6, cap)


class PerAccount(NamedTuple):
    """Micro-dollars in each of the three accounts that a request counts against."""

    total: int
    teacher: int
    plan: int

    @classmethod
    def each(cls, micros: int) -> PerAccount:
        """The same in all three."""
        return cls(micros, micros, micros)

    def beside(self, other: PerAccount) -> PerAccount:
        """The sums."""
        return PerAccount(self.total + other.total, self.teacher + other.teacher, self.plan + other.plan)


NONE = PerAccount.each(0)


class Budget:
    """The accounts that a request counts against: the total, its teacher's and its plan's."""

    def __init__(self, total_cap: int | None, before: Spending = NOTHING_YET) -> None:
        self.total = Account.of(total_cap, before, BUDGET)
        self._teachers: dict[int, Account] = {}
        self._plans: dict[int, Account] = {}

    def add_teacher(
        self, teacher_id: int, cap: int | None, before: Spending = NOTHING_YET, *, name: str = ""
    ) -> None:
        """Opens a teacher's account with what counts against it so far."""
        key = f" (teachers.{name}.budget_usd)" if name else ""
        self._teachers[teacher_id] = Account.of(cap, before, f"the teacher's budget{key}")

    def add_plan(
        self,
        plan_id: int,
        cap: int | None,
        before: Spending = NOTHING_YET,
        *,
        name: str = "",
        task: str = "",
    ) -> None:
        """Opens a plan's account with what counts against it so far."""
        key = f" (budget_usd of plan {name}, task {task})" if name else ""
        self._plans[plan_id] = Account.of(cap, before, f"the plan's budget{key}")

    def accounts(self) -> list[Account]:
        """All of them."""
        return [self.total, *self._teachers.values(), *self._plans.values()]

    def cap_teacher(self, teacher_id: int, cap: int | None) -> None:
        """Changes a teacher's cap; what it used stays."""
        self._teachers[teacher_id].cap = cap

    def cap_plan(self, plan_id: int, cap: int | None) -> None:
        """Changes a plan's cap; what it used stays."""
        self._plans[plan_id].cap = cap

    def room(self, plan_id: int, teacher_id: int) -> float:
        """Micro-dollars that a request of this plan to this teacher may still cost."""
        return min(account.room() for account in self._of(plan_id, teacher_id))

    def free_apart(self, plan_id: int, teacher_id: int, set_aside: PerAccount) -> tuple[float, float]:
        """The same for new samples, beside what is set aside: of the total, and of the teacher's and the plan's budget."""
        total, teacher, plan = self._of(plan_id, teacher_id)
        own = min(teacher.room() - set_aside.teacher, plan.room() - set_aside.plan)
        return total.room() - set_aside.total, own

    def reserve(self, plan_id: int, teacher_id: int, micros: int) -> bool:
        """Reserves `micros` in every account, or in none if one has too little."""
        if micros > self.room(plan_id, teacher_id):
            return False
        for account in self._of(plan_id, teacher_id):
            account.reserved += micros
        return True

    def settle(self, plan_id: int, teacher_id: int, reserved: int, cost: int, unknown: int = 0) -> None:
        """Replaces a reservation by the cost, and by what may have been billed."""
        for account in self._of(plan_id, teacher_id):
            account.reserved -= reserved
            account.spent += cost
            account.unknown += unknown

    def move(self, plan_id: int, to: int, cost: Spending) -> None:
        """What a sample cost so far counts against another plan's budget: that plan takes the sample over."""
        for account, sign in ((self._plans[plan_id], -1), (self._plans[to], 1)):
            account.spent += sign * cost.spent
            account.unknown += sign * cost.unknown

    def binding(self, plan_id: int, teacher_id: int, need: PerAccount = NONE) -> Account:
        """The account with the least room beside what is needed of it."""
        return min(self._beside(plan_id, teacher_id, need), key=lambda each: each[0].room() - each[1])[0]

    def reserved_at(self, teacher_id: int) -> int:
        """What is reserved for requests of one teacher that have not ended."""
        return self._teachers[teacher_id].reserved

    def used_up(self, plan_id: int, teacher_id: int, need: PerAccount) -> Account | None:
        """The account that is too small for what is needed of it even if all reservations came back."""
        accounts = self._beside(plan_id, teacher_id, need)
        least, needed = min(accounts, key=lambda each: each[0].left_over() - each[1])
        return least if least.left_over() < needed else None

    def binds_teacher(self, plan_id: int, teacher_id: int, need: int) -> bool:
        """Whether the teacher's own budget is what is too small for a request of `need`, even if all reservations came back.

        Then another teacher may take the request.
        """
        return self.used_up(plan_id, teacher_id, PerAccount.each(need)) is self._teachers[teacher_id]

    def _beside(self, plan_id: int, teacher_id: int, need: PerAccount) -> list[tuple[Account, int]]:
        return list(zip(self._of(plan_id, teacher_id), need, strict=True))

    def _of(self, plan_id: int, teacher_id: int) -> tuple[Account, Account, Account]:
        return self.total, self._teachers[teacher_id], self._plans[plan_id]


def micros(usd: float | None) -> int | None:
    """Configured dollars as micro-dollars."""
    return None if usd is None else round(usd * 1_000_000)


def add_plan(budget: Budget, plan: ActivePlan, before: Mapping[int, Spending]) -> None:
    """Opens a plan's account; `before` gives what was stored of it, by plan id."""
    cap = micros(plan.config.budget_usd)
    budget.add_plan(plan.id, cap, before.get(plan.id, NOTHING_YET), name=plan.config.name, task=plan.task)


def notice_of(accounts: Iterable[Account]) -> str:
    """The notice about budgets that are used up; empty where there are none."""
    names = sorted({account.words for account in accounts})
    if not names:
        return ""
    remedy = (
        "`coterie budget USD` raises it"
        if any(BUDGET in name for name in names)
        else "raise it in config.toml"
    )
    return f"{' and '.join(names)} {'are' if len(names) > 1 else 'is'} used up, no new requests are sent: {remedy}"
