"""How many rationales a plan's keys ask for: those for everyone, the correct ones wanted, and the most."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from engine.config import PlanConfig


@pytest.mark.parametrize(
    ("keys", "rule"),
    [
        ({"rationales": 8}, (8, 0, 8)),
        ({"rationales": 8, "stop_after_correct": 2}, (2, 2, 8)),
        ({"rationales": 1, "max_rationales": 16}, (1, 1, 16)),
        ({"rationales": 4, "max_rationales": 16, "stop_after_correct": 2}, (2, 2, 16)),
        ({"max_rationales": 4, "correct_per_task": 9}, (4, 0, 4)),
        ({"rationales": 8, "stop_after_wrong": 3}, (3, 8, 8)),
        ({"rationales": 8, "stop_after_wrong": 3, "stop_after_correct": 4}, (3, 4, 8)),
        ({"rationales": 8, "stop_after_wrong": 3, "stop_after_correct": 2}, (2, 2, 8)),
        ({"rationales": 4, "max_rationales": 16, "stop_after_wrong": 3}, (3, 1, 16)),
        ({"max_rationales": 4, "correct_per_task": 9, "stop_after_wrong": 3}, (3, 4, 4)),
    ],
)
def test_the_rule_of_a_plan(keys: dict[str, Any], rule: tuple[int, int, int]) -> None:
    plan = PlanConfig.model_validate({"name": "p", **keys})
    assert (plan.base, plan.want, plan.most) == rule


def test_a_limit_that_no_question_reaches_is_refused() -> None:
    with pytest.raises(ValidationError, match="stop_after_wrong = 8 has no effect: a question has at most 8"):
        PlanConfig.model_validate({"name": "p", "rationales": 8, "stop_after_wrong": 8})
