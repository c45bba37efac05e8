from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.grading import grade
from engine.grading.formats import math as formula
from engine.grading.workers import Pool
from engine.tasks.builtin import BUILTIN_TASKS


class Silent(Pool):
    """A pool that says one thing: it starts no process."""

    def __init__(self, relation: str | None) -> None:
        super().__init__(1)
        self.relation = relation

    def compare(self, first: str, second: str) -> str | None:
        return self.relation


@pytest.mark.parametrize(
    ("relation", "flags", "reason"),
    [
        ("equal", (), "equals the gold"),
        ("differs", (), "differs from the gold"),
        ("unread-first", ("bad-gold",), "cannot be read"),
        ("unread-second", ("no-answer",), "cannot be read"),
        ("failed", ("undecided",), "comparing it failed"),
        (None, ("undecided",), "not decided within 5 s"),
    ],
)
def test_what_a_worker_says_becomes_a_verdict(relation, flags, reason) -> None:
    verdict = formula.judge("Answer: 2x", "x + x", None, pool=Silent(relation))
    assert (verdict.correct, verdict.flags) == (relation == "equal", flags)
    assert reason in verdict.reason


def test_what_is_written_as_the_gold_asks_no_worker() -> None:
    verdict = formula.judge("\\boxed{ \\dfrac{1}{2} }", "$\\frac{1}{2}$", None, pool=Silent("failed"))
    assert verdict.correct and "written as the gold" in verdict.reason


def test_a_text_is_no_answer() -> None:
    verdict = formula.judge("Answer: " + "+1" * 300, "300", None, pool=Silent("equal"))
    assert not verdict.correct and verdict.flags == ("no-answer",)


def test_the_answers_of_a_builtin_task_are_graded() -> None:
    task = BUILTIN_TASKS["multi_step_arithmetic"]
    golds = [task.draw(random.Random(seed), task.options()).answer for seed in range(3)]
    for gold in golds:
        assert grade(f"So the answer is ${gold}$.", gold, "math").correct
        assert grade(f"\\boxed{{\\frac{{{2 * int(gold)}}}{{2}}}}", gold, "math").correct
        assert not grade(f"\\boxed{{{int(gold) + 1}}}", gold, "math").correct


pieces = st.sampled_from(
    [
        "1",
        "x",
        "=",
        "\\boxed{",
        "}",
        "$",
        "\\(",
        "\\)",
        "\\frac",
        "{",
        ",",
        " or ",
        "\\text{",
        "Answer:",
        "is ",
        "\n",
        "\\pm",
        ".",
    ]
)


@settings(max_examples=100, deadline=200)
@given(st.lists(pieces, max_size=120).map("".join))
def test_any_text_gets_an_expression_or_none(text) -> None:
    answer, flags = formula.extract(text, keep_equation=False)
    assert (answer, flags) == formula.extract(text, keep_equation=False)
    assert answer is None or answer.strip()
