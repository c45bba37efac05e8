"""How a trace is rendered as a rationale, in several styles, and how a rationale's answer is read.

A renderer never solves: it renders the trace with its slips, and reads what a rationale says.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any, TypeVar

from engine.decomposition import Step as SubQuestion
from engine.tasks.procedural.problem import Trace

Item = TypeVar("Item")
Rendering = Callable[[Trace[Any, Any]], str]


@dataclass(frozen=True, slots=True)
class Renderer:
    """The ways in which one task's reasoning is put into words.

    `styles` render the steps, `openings` come before them (one may be empty), `closings` state the result.
    `read_answer` gives the answer that a rationale leads to, or None if it leads to none.
    """

    openings: tuple[str, ...]
    styles: tuple[Rendering, ...]
    closings: tuple[Rendering, ...]
    read_answer: Callable[[Any, str], str | None]
    sub_question: Callable[[Any, int], SubQuestion]
    """The sub-question about the step of that index of a trace, and its solution."""

    def steps(self, trace: Trace[Any, Any]) -> list[SubQuestion]:
        """The trace as sub-questions with their solutions; the closing alone where there is no step."""
        found = [self.sub_question(trace, index) for index in range(len(trace.steps))]
        return found or [SubQuestion("What follows at once?", self.closings[0](trace))]

    def render(
        self,
        trace: Trace[Any, Any],
        preferences: random.Random,
        rng: random.Random,
        temperature: float,
        *,
        terse: bool,
    ) -> str:
        """A rationale.

        Args:
            trace: what to render.
            preferences: ranks the styles for this prompt; the same for all its completions.
            rng: draws this completion's styles.
            temperature: 0 takes the preferred ones; the higher, the more even the draw.
            terse: no opening, and always the same closing.
        """
        style = choose(self.styles, preferences, rng, temperature)
        opening = choose(self.openings, preferences, rng, temperature)
        closing = choose(self.closings, preferences, rng, temperature)
        steps = style(trace)
        parts = [steps, self.closings[0](trace)] if terse else [opening, steps, closing(trace)]
        return " ".join(part for part in parts if part)


def choose(items: Sequence[Item], preferences: random.Random, rng: random.Random, temperature: float) -> Item:
    """Draws one item: the one ranked r-th has the weight exp(-r / 6T)."""
    ranked = preferences.sample(range(len(items)), len(items))
    if temperature <= 0:
        return items[ranked[0]]
    weights = [exp(-rank / (6 * temperature)) for rank in range(len(items))]
    return items[rng.choices(ranked, weights)[0]]
