from __future__ import annotations

from typing import Any

import pytest

from engine.config import Config
from engine.config.prices import unpriced

PAID = {"base_url": "https://api.example.com/v1", "model": "m", "api_key_env": "KEY"}
PRICED = {"usd_per_million_input": 1.0, "usd_per_million_output": 2.0}


def told(
    teacher: dict[str, Any], budget: float | None = 5.0, plan: dict[str, Any] | None = None
) -> list[str]:
    plans = [] if plan is None else [{"name": "p", "teachers": ["gpt"], **plan}]
    return list(
        unpriced(
            Config.model_validate(
                {"daemon": {"budget_usd": budget}, "teachers": {"gpt": teacher}, "plans": plans}
            )
        )
    )


def test_a_teacher_that_no_budget_bounds_is_told_of() -> None:
    (said,) = told(PAID)
    assert said == (
        "teachers.gpt has a key but no usd_per_million_input and no usd_per_million_output: its cost is"
        " only counted if the provider states dollars, so [daemon] budget_usd may not limit it"
    )
    assert "no usd_per_million_output:" in told({**PAID, "usd_per_million_input": 1.0})[0]
    (both,) = told({**PAID, "budget_usd": 2.0}, plan={"budget_usd": 1.0})
    assert both.endswith(
        "[daemon] budget_usd and teachers.gpt.budget_usd and budget_usd of plan p may not limit it"
    )


@pytest.mark.parametrize(
    ("teacher", "budget"),
    [
        ({**PAID, **PRICED}, 5.0),
        (PAID, None),
        ({"base_url": "http://127.0.0.1:8000/v1", "model": "m"}, 5.0),
        ({"builtin": True, "model": "m"}, 5.0),
    ],
    ids=["priced", "no cap", "no key", "built in"],
)
def test_nothing_is_said_where_nothing_can_be_overspent(
    teacher: dict[str, Any], budget: float | None
) -> None:
    assert told(teacher, budget) == []
