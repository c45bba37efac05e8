"""What a teacher's requests take and cost: prices, and how many tokens the next request is expected to use. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from daemon.sampling.budget import Price
from daemon.sampling.jobs import Job
from engine.config import TeacherConfig
from engine.teachers.dialects import dialect
from engine.teachers.dialects.shared import share
from engine.teachers.failures import Failure
from engine.teachers.messages import Usage
from engine.teachers.tokens import Correction

NOTHING = Usage(prompt_tokens=0, completion_tokens=0)


class TokenAccounting:
    """Prices and token estimates of one teacher."""

    __slots__ = ("_completion", "_config", "_prompt", "price")

    def __init__(self, config: TeacherConfig) -> None:
        self._config = config
        self.price = price_of(config)
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

    def costs(self, usages: Sequence[Usage]) -> list[int]:
        """What each part of one answer costs, in micro-dollars."""
        return self.price.shares(
            [
                (
                    usage.prompt_tokens,
                    usage.completion_tokens,
                    usage.cached_tokens,
                    usage.cache_write_tokens,
                    usage.reasoning_tokens,
                )
                for usage in usages
            ]
        )

    def charged(self, failure: Failure, reserved: Sequence[int]) -> tuple[list[int], list[Usage]]:
        """What a request without a completion costs, and the tokens it used, for each attempt that shared it.

        `reserved` is what each attempt has reserved, in micro-dollars: it is booked where the cost is unknown. Stated
        usage is split evenly.
        """
        count = len(reserved)
        if failure.charged == "unknown":
            return list(reserved), [NOTHING] * count
        if failure.charged == "none" or failure.usage is None:
            return [0] * count, [NOTHING] * count
        usages = share(failure.usage, [""] * count)
        return self.costs(usages), usages

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
