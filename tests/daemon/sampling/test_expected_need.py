"""What a plan's rule is expected to ask for, beside what the rule in `state` asks for."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from daemon.sampling.expected_need import expected_need, expected_samples
from engine.config import PlanConfig
from tests.state.world import make, stored

RULES: list[dict[str, Any]] = [
    {"rationales": 3},
    {"rationales": 8, "stop_after_correct": 2},
    {"rationales": 1, "max_rationales": 6},
    {"rationales": 4, "max_rationales": 8, "stop_after_correct": 2},
    {"rationales": 8, "stop_after_wrong": 3},
    {"rationales": 8, "stop_after_correct": 4, "stop_after_wrong": 3},
    {"correct_per_task": 100, "max_rationales": 4},
]
QUESTIONS = 120


def asked(tmp_path: Path, plan: PlanConfig, rate: float) -> int:
    """Samples that the rule in `state` claims, if verdicts are drawn with this rate of correct ones."""
    world, chance = make(tmp_path / "state.db", questions=QUESTIONS), random.Random(1)
    key = world.plan(
        "q",
        recipe="other",
        rationales=plan.most,
        base=plan.base,
        want=plan.want,
        target=plan.correct_per_task or 0,
        wrong=plan.stop_after_wrong,
    )
    total = 0
    while (found := world.claim(key, 8)).samples:
        for sample in found.samples:
            world.record(stored(sample, correct=chance.random() < rate))
        total += len(found.samples)
    world.connection.close()
    return total


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("rate", [0.0, 0.6, 1.0])
def test_the_expectation_is_that_of_the_rule(tmp_path: Path, rule: dict[str, Any], rate: float) -> None:
    plan = PlanConfig(name="q", **rule)
    expected, found = expected_samples(plan, QUESTIONS, rate), asked(tmp_path, plan, rate)
    assert found == pytest.approx(expected, rel=0.12 if rate not in (0.0, 1.0) else 0.08)


def test_the_chance_that_no_sample_is_correct_follows_the_most_that_are_asked() -> None:
    assert expected_need(PlanConfig(name="a", rationales=3), 0.5).none_correct == pytest.approx(0.125)
    wide = PlanConfig(name="a", rationales=1, max_rationales=4)
    assert expected_need(wide, 0.5).none_correct == pytest.approx(0.0625)
    given_up = PlanConfig(name="a", rationales=8, stop_after_wrong=2)
    assert expected_need(given_up, 0.5).none_correct == pytest.approx(0.25)
