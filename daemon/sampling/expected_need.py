"""How many samples a plan's rule is expected to ask for, if each is correct with the same probability. Pure.

The rule itself is in `state/slots.py` and `state/resampling.py`; a test runs both on the same verdicts.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.config import PlanConfig


@dataclass(frozen=True, slots=True)
class ExpectedNeed:
    """Of one question: samples on average, and the probability that none of them is correct."""

    samples: float
    none_correct: float


def expected_need(plan: PlanConfig, correct: float) -> ExpectedNeed:
    """What a question of the plan takes.

    Args:
        plan: with `base`, `most`, `want` and `stop_after_wrong`.
        correct: the probability that a sample is correct, 0 to 1.
    """
    wrong, base = 1 - correct, plan.base
    if not plan.want:
        return ExpectedNeed(float(base), wrong**base)
    samples, none = 0.0, 0.0
    asked = {0: 1.0}  # by the number of correct ones: the probability that the question is asked again
    for tries in range(plan.most):
        if tries >= base:
            asked = {right: chance for right, chance in asked.items() if right < plan.want}
            if plan.stop_after_wrong and tries >= plan.stop_after_wrong:
                none += asked.pop(0, 0.0)
        samples += sum(asked.values())
        after: dict[int, float] = {}
        for right, chance in asked.items():
            after[right] = after.get(right, 0.0) + chance * wrong
            after[right + 1] = after.get(right + 1, 0.0) + chance * correct
        asked = after
    return ExpectedNeed(samples, none + asked.get(0, 0.0))


def expected_samples(plan: PlanConfig, questions: int, correct: float) -> float:
    """Samples that the plan asks for on average, of so many questions."""
    samples = questions * expected_need(plan, correct).samples
    if plan.correct_per_task:
        return min(samples, plan.correct_per_task / correct) if correct else samples
    return samples
