"""What a teacher's requests take and cost: prices, and how many tokens the next request is expected to use. Pure.

Costs are booked in whole micro-dollars, and a cheap answer costs a fraction of one. The rest of each answer is carried to
the next one of the same plan, so the sum of what is booked stays within one micro-dollar of the exact sum, in each
daemon session. A request that costs no more than foreseen is still booked with at most what it reserved: that
was rounded up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from daemon.sampling.budget import PARTS, Price
from daemon.sampling.jobs import Job
from engine.config import TeacherConfig
from engine.teachers.apportion import apportion
from engine.teachers.dialects import dialect
from engine.teachers.dialects.usage import share
from engine.teachers.failures import Failure
from engine.teachers.messages import Usage
from engine.teachers.tokens import Correction

NOTHING = Usage(prompt_tokens=0, completion_tokens=0)
MOST_USD = 10_000.0
"""A server that states more for one answer is not believed."""


@dataclass(frozen=True, slots=True)
class Booking:
    """What one attempt is booked with: micro-dollars that are settled or unknown, and tokens."""

    cost: int
    unknown: int
    usage: Usage

    def columns(self) -> dict[str, Any]:
        """As an `AttemptResult` has it."""
        usage = self.usage
        return {
            "cost_micros": self.cost,
            "unknown_micros": self.unknown,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "estimated": usage.estimated,
        }


class TokenAccounting:
    """Prices and token estimates of one teacher."""

    __slots__ = ("_carried", "_completion", "_config", "_prompt", "price")

    def __init__(self, config: TeacherConfig) -> None:
        self._config = config
        self.price = price_of(config)
        self._carried: dict[int, int] = {}  # by plan id, parts of a micro-dollar that are not booked yet
        self._prompt = Correction()
        self._completion = Correction(low=0.01, high=1.0)  # completion tokens that came, to those allowed

    def configure(self, config: TeacherConfig) -> None:
        """Other prices from now on; the estimates stay."""
        self._config = config
        self.price = price_of(config)

    def expected(self, job: Job, *, counts_apart: bool) -> tuple[int, int]:
        """Tokens that the next request of a job is expected to take from the limits: in all, and of the completion.

        The prompt is estimated by the learned ratio. Of a limit over both kinds providers hold back all of
        `max_tokens`; where completion tokens have a limit of their own (`counts_apart`), what usually comes is reserved.
        """
        request = job.request
        prompt, most = self._prompt.apply(job.prompt_tokens), request.max_tokens * request.n
        if counts_apart:
            most = min(most, self._completion.apply(most))
        return prompt + most, most

    def booked(self, plan_id: int, usages: Sequence[Usage], reserved: Sequence[int]) -> list[Booking]:
        """What each attempt that one answer served is booked with.

        The dollars that the provider states come before tokens at the configured prices. An answer without usable
        usage is booked with what its attempts reserved, the most that it can have cost.
        """
        told = [usd for usage in usages if (usd := usage.cost_usd) is not None and 0 <= usd <= MOST_USD]
        exact = [self._parts(usage) for usage in usages]
        if told:
            costs = self._split(plan_id, round(math.fsum(told) * 1e6 * PARTS), exact, usages)
        elif any(usage.estimated for usage in usages):
            costs = list(reserved[: len(usages)])
        else:
            costs = self._split(plan_id, sum(exact), exact, usages)
        return [Booking(cost, 0, usage) for cost, usage in zip(costs, usages, strict=True)]

    def exact_usd(self, usages: Sequence[Usage]) -> float:
        """What answers cost in dollars, unrounded: as the provider states it, else tokens at the configured prices."""
        return math.fsum(
            usage.cost_usd if usage.cost_usd is not None else self._parts(usage) / PARTS / 1e6
            for usage in usages
        )

    def charged(self, plan_id: int, failure: Failure, reserved: Sequence[int]) -> list[Booking]:
        """What each attempt that shared a request without a completion is booked with.

        `reserved` is what each of them has reserved, in micro-dollars: it counts as unknown where nothing says what was
        billed. Stated usage is split evenly.
        """
        if failure.charged == "unknown":
            lost = Usage(prompt_tokens=0, completion_tokens=0, estimated=True)
            return [Booking(0, micros, lost) for micros in reserved]
        if failure.charged == "none" or failure.usage is None:
            return [Booking(0, 0, NOTHING) for _ in reserved]
        return self.booked(plan_id, share(failure.usage, [""] * len(reserved)), reserved)

    def counted_of(self, failure: Failure) -> int:
        """The tokens that count against limits of a request without a completion."""
        return 0 if failure.usage is None else self.counted(failure.usage)

    def counted(self, usage: Usage) -> int:
        """The tokens of an answer that count against limits; some APIs leave out those read from their cache."""
        uncounted = 0 if dialect(self._config.dialect).limits_count_cached else usage.cached_tokens
        return usage.prompt_tokens - uncounted + usage.completion_tokens

    def learn(self, estimate: int, allowed: int, usage: Usage) -> None:
        """Learns from an answer's usage how many tokens the next one takes."""
        if not usage.estimated:
            self._prompt.observe(estimate, usage.prompt_tokens)
            self._completion.observe(allowed, usage.completion_tokens)

    def _parts(self, usage: Usage) -> int:
        return self.price.parts(
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.cached_tokens,
            usage.cache_write_tokens,
            usage.reasoning_tokens,
        )

    def _split(self, plan_id: int, exact: int, shares: Sequence[int], usages: Sequence[Usage]) -> list[int]:
        """An exact cost in whole micro-dollars for each of `usages`; what is left of it is carried on."""
        whole, self._carried[plan_id] = divmod(exact + self._carried.get(plan_id, PARTS // 2), PARTS)
        if len(usages) == 1:
            return [whole]
        # Without prices, the provider's dollars are shared by tokens.
        tokens = [usage.prompt_tokens + usage.completion_tokens for usage in usages]
        return apportion(whole, shares if any(shares) else tokens)


def price_of(config: TeacherConfig) -> Price:
    """A teacher's prices, with a batch's discount; cached prompt tokens cost as others where no price is given."""
    cached = config.usd_per_million_cached
    share = config.settings.price_share
    return Price(
        config.usd_per_million_input * share,
        config.usd_per_million_output * share,
        (config.usd_per_million_input if cached is None else cached) * share,
        _part(config.usd_per_million_cache_write, share),
        _part(config.usd_per_million_reasoning, share),
    )


def _part(price: float | None, share: float) -> float | None:
    return None if price is None else price * share
