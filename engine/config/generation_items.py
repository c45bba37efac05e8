"""`generation` of a student with `generations`, and the names of what it is unrolled into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from engine.config.base import Name, Section


class GenerationConfig(Section):
    """What the generations after the first learn from: what the one before writes."""

    rationales: Annotated[int, Field(ge=1, le=100_000)] = 4
    """Rationales per question that each generation writes for the next."""

    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    """Their temperature."""

    hinted: bool = False
    """Whether a question without a correct rationale is asked again with its answer as a hint, as often (STaR). The next generation learns from those too."""

    score_by: Name | None = None
    """A teacher, of a dialect that can score: it gives each token of what a generation wrote its log-probability. The next generation then reads these samples, the same texts, from the plan NAME.gK.scored."""

    logprobs: Annotated[int, Field(ge=1, le=20)] = 20
    """With `score_by`: the alternatives to each token that are stored with their log-probabilities."""


def scored_name(plan: str) -> str:
    """The name of the plan that scores what another plan wrote."""
    return f"{plan}.scored"


def generation_name(student: str, number: int) -> str:
    """The name of a generation, counted from 1; also of the plan that it learns from, and of the teacher that it is."""
    return f"{student}.g{number}"


def hinted_name(plan: str) -> str:
    """The name of the plan that asks with hints what another plan failed."""
    return f"{plan}.hinted"


def names_made(student: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The plans and the teachers that a student in plain values is unrolled into."""
    name, count, settings = student.get("name"), student.get("generations"), student.get("generation")
    if not isinstance(name, str) or not isinstance(count, int):
        return [], []
    plans = [generation_name(name, number) for number in range(2, count + 1)]
    written = list(plans)
    for key, named in (("hinted", hinted_name), ("score_by", scored_name)):
        if isinstance(settings, Mapping) and settings.get(key):
            plans += [named(plan) for plan in written]
    return plans, [generation_name(name, number) for number in range(1, count)]
