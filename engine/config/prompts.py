"""`[prompts.NAME]`: templates in place of a strategy's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from engine.config.base import Section
from engine.strategies import STRATEGIES
from engine.strategies.templates import check, placeholders


class PromptsConfig(Section):
    """`[prompts.NAME]`: templates in place of a strategy's own; a plan names them in `prompts`."""

    prompt: str | None = Field(default=None, min_length=1)
    """The first request: `{question}` once, and `{trigger}` (zero-shot), `{what}` (chat, rationalize), `{exemplars}` (few-shot-cot), `{answer}` (rationalize, student-hinted)."""

    answer_prompt: str | None = Field(default=None, min_length=1)
    """The second request of zero-shot-cot: `{rationale}`, and `{prompt}` (the first request), `{question}`, `{trigger}`."""

    trigger: str | None = Field(default=None, min_length=1)
    """The phrase that draws the answer, of zero-shot and zero-shot-cot; `{last}` is the letter of the last choice."""

    exemplar: str | None = Field(default=None, min_length=1)
    """One worked example of few-shot-cot: `{question}`, `{rationale}`, `{answer}`."""

    @model_validator(mode="after")
    def _templates(self) -> Self:
        for name, template in self.given().items():
            known = frozenset[str]().union(
                *(each.templates[name].places for each in STRATEGIES.values() if name in each.templates)
            )
            try:
                found = placeholders(template)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
            check(name, found, known, frozenset())
        return self

    def given(self) -> dict[str, str]:
        """The templates that are set, by name."""
        return {name: value for name, value in self if value is not None}

    def misfit(self, strategy: str) -> str | None:
        """Why a strategy cannot use these templates; None if it can."""
        own = STRATEGIES[strategy].templates
        for name, template in self.given().items():
            if name not in own:
                return f"{name}: {strategy} has no such template (it has: {', '.join(own)})"
            try:
                check(name, placeholders(template), own[name].places, own[name].required)
            except ValueError as error:
                return f"{error}, for {strategy}"
        return None


PUBLISHED = "paper"
"""`prompts = "paper"`: the templates of the paper's public code, unless `[prompts.paper]` says otherwise."""


def templates_of(prompts: Mapping[str, PromptsConfig], name: str | None, strategy: str) -> dict[str, str]:
    """The templates that a plan or an untrained student gets in place of the strategy's own.

    Args:
        prompts: the configured ones.
        name: which of them; None: none.
        strategy: the strategy.
    """
    if name is None:
        return {}
    if name in prompts:
        return prompts[name].given()
    return dict(STRATEGIES[strategy].published)
