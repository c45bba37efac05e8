"""An accuracy over questions and seeds, with its 95 % interval.

With one seed: Wilson's interval over questions; training noise is not in it. With several: the variance between seeds and
between questions from `engine/report/variance.py`, as Wilson's interval of the same half-width, which stays within 0 and
1. So it is for another seed on other questions of the same kind. Several answers per question are not further
questions: whole questions count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.report.variance import Array, spread
from state.confidence_interval import Z_95, accuracy_text, wilson

FEW = 10
"""With fewer answers of the rarer kind, a variance is a poor estimate: the interval is at least as wide as that of one seed."""

ONE_SEED = "One seed: training noise is not in this interval."


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean accuracy (0 to 1) with its 95 % interval, and the numbers of questions and seeds."""

    accuracy: float
    low: float
    high: float
    questions: int
    seeds: int

    def text(self) -> str:
        """In percent: `74.7 (67.2–81.0)`."""
        return accuracy_text(self.accuracy, self.low, self.high)


def table_of(runs: Sequence[Mapping[int, bool]], questions: Sequence[int]) -> Array:
    """Answers of runs to these questions: 1.0 for a correct one, [runs, questions]."""
    return np.array([[run[key] for key in questions] for run in runs], dtype=float)


def estimate(runs: Sequence[Mapping[int, bool]]) -> Estimate | None:
    """The estimate over one run per seed, each a mapping of question to correct; None without answers.

    Questions that some run did not answer are left out, so seeds are compared on the same ones.
    """
    if not runs:
        return None
    common = sorted(set.intersection(*(set(run) for run in runs)))
    if not common:
        return None
    table = table_of(runs, common)
    if len(runs) == 1:
        return Estimate(float(table.mean()), *wilson(table.sum(), len(common)), len(common), 1)
    mean, low, high = interval(table)
    return Estimate(float(mean), float(low), float(high), len(common), len(runs))


def estimate_answers(groups: Sequence[Sequence[bool]]) -> Estimate | None:
    """The estimate over a teacher's answers, several per question; None without answers.

    Every question has the same weight. The interval is over questions.
    """
    asked = [group for group in groups if group]
    if not asked:
        return None
    shares = np.array([[sum(group) / len(group) for group in asked]])
    mean, questions = float(shares.mean()), len(asked)
    correct, given = sum(map(sum, asked)), sum(map(len, asked))
    if given == questions or min(correct, given - correct) < FEW:
        return Estimate(mean, *wilson(min(mean * questions, questions), questions), questions, 1)
    low, high = _wilson_of(np.asarray(mean), spread(shares).half_width())
    return Estimate(mean, float(low), float(high), questions, 1)


def interval(table: Array) -> tuple[Array, Array, Array]:
    """Mean, low and high of tables of answers (0 or 1) by several seeds, [..., seeds, questions]."""
    seeds, questions = table.shape[-2:]
    mean, correct = table.mean(axis=(-1, -2)), table.sum(axis=(-1, -2))
    few = np.minimum(correct, seeds * questions - correct) < FEW
    one_seed = Z_95 * np.sqrt(mean * (1 - mean) / questions)
    half = spread(table).half_width()
    half = np.where(few, np.maximum(half, one_seed), half)
    low, high = _wilson_of(mean, half, Z_95**2 / questions)
    return mean, low, high


def _wilson_of(mean: Array, half: Array, at_the_ends: float = 0.0) -> tuple[Array, Array]:
    """Wilson's interval for the number of trials at which the normal interval has this half-width.

    `at_the_ends`: z² / n where the mean is 0 or 1, and no half-width tells the number of trials.
    """
    product = mean * (1 - mean)
    inside = product > 0
    ratio = np.where(inside, half**2 / np.where(inside, product, 1.0), at_the_ends)  # z² / n
    centre, scale = mean + ratio / 2, 1 + ratio
    reach = np.sqrt(ratio * product + ratio**2 / 4)
    low = np.where(mean <= 0, 0.0, np.maximum(0.0, (centre - reach) / scale))
    high = np.where(mean >= 1, 1.0, np.minimum(1.0, (centre + reach) / scale))
    return low, high
