"""A solution in steps: sub-questions with their solutions, one a line, as in the Socratic files of GSM8K.

    How many eggs does Janet sell? ** Janet sells 16 - 3 - 4 = <<16-3-4=9>>9 eggs a day.

It is outside `engine.tasks`, `engine.strategies` and `engine.methods`, since all of them read it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

MARK = "**"
"""Stands between a sub-question and its solution."""

_MARKED = re.compile(r"\s\*\*\s")
_LEAD = re.compile(r"\s*(?:[-*•]\s+|\(?\d{1,3}[.):]\s+)?")
"""A bullet or a number before a sub-question."""
_ANNOTATION = re.compile(r"<<([^<>\n]{1,200})>>")
_NUMBER = r"[-+]?[$€£]?\d(?:[\d,]{0,30}\d)?(?:\.\d{1,30})?%?"
_EQUATION = re.compile(rf"{_NUMBER}(?:\s*[-+*/x×÷]\s*\(?{_NUMBER}\)?){{1,12}}\s*=\s*{_NUMBER}")


class Step(NamedTuple):
    """A sub-question and its solution, each in one line."""

    question: str
    solution: str


def read_steps(text: str) -> tuple[Step, ...] | None:
    """The steps of a text; None if it cannot be decomposed.

    Every line is a step, or goes on with the solution of the step before it. A step without a solution is left out, as
    two of GSM8K's are.
    """
    found: list[Step] = []
    for line in filter(str.strip, text.splitlines()):
        question, *rest = _MARKED.split(f" {line.strip()} ", maxsplit=1)
        if rest:
            step = Step(_one_line(_LEAD.sub("", question, count=1)), _one_line(rest[0]))
            if not step.question:
                return None
            if step.solution:
                found.append(step)
        elif found:
            found[-1] = Step(found[-1].question, _one_line(f"{found[-1].solution} {line}"))
        else:
            return None
    return tuple(found) or None


def write_steps(steps: Sequence[Step]) -> str:
    """The steps as lines: what `read_steps` reads."""
    return "\n".join(f"{step.question} {MARK} {step.solution}" for step in steps)


def equations(text: str) -> list[str]:
    """The equations of a solution: its annotations (`<<16-3-4=9>>`), or those in its text."""
    annotated = _ANNOTATION.findall(text)
    return [re.sub(r"\s+", "", each) for each in annotated or _EQUATION.findall(text)]


def _one_line(text: str) -> str:
    return " ".join(text.split())
