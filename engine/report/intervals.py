"""An accuracy over questions and seeds, with its 95 % interval.

With one seed: Wilson's interval over questions. With several: a two-way bootstrap over questions and seeds (2,000 draws,
fixed seed), since both are samples. With three seeds, their share of the interval is a rough estimate, rather too small.
Several answers per question are not further questions: whole questions are drawn. If almost all or almost no answers are
correct, a bootstrap sees too few of the others, and Wilson's interval over questions is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.confidence_interval import accuracy_text, wilson

DRAWS = 2000
FEW = 10
"""If there are fewer answers of the rarer kind, there is no bootstrap."""


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


def estimate(runs: Sequence[Mapping[int, bool]]) -> Estimate | None:
    """The estimate over one run per seed, each a mapping of question to correct; None without answers.

    Questions that some run did not answer are left out, so seeds are compared on the same ones.
    """
    if not runs:
        return None
    common = sorted(set.intersection(*(set(run) for run in runs)))
    if not common:
        return None
    table = np.array([[run[key] for key in common] for run in runs], dtype=float)  # seeds x questions
    seeds, questions = table.shape
    mean = float(table.mean())
    if seeds == 1 or _almost_all(table.sum(), table.size):
        return Estimate(mean, *wilson(min(mean * questions, questions), questions), questions, seeds)
    rng = np.random.default_rng(0)
    means = np.empty(DRAWS)
    for draw in range(DRAWS):
        drawn = table[rng.integers(seeds, size=seeds)]
        means[draw] = drawn.mean(axis=0)[rng.integers(questions, size=questions)].mean()
    return Estimate(mean, *_central_95(means), questions, seeds)


def estimate_answers(groups: Sequence[Sequence[bool]]) -> Estimate | None:
    """The estimate over a teacher's answers, several per question; None without answers.

    Every question has the same weight. The interval is over questions.
    """
    asked = [group for group in groups if group]
    if not asked:
        return None
    shares = np.array([sum(group) / len(group) for group in asked])
    mean, questions = float(shares.mean()), len(asked)
    if max(map(len, asked)) == 1 or _almost_all(sum(map(sum, asked)), sum(map(len, asked))):
        return Estimate(mean, *wilson(min(mean * questions, questions), questions), questions, 1)
    rng = np.random.default_rng(0)
    means = np.array([shares[rng.integers(questions, size=questions)].mean() for _ in range(DRAWS)])
    return Estimate(mean, *_central_95(means), questions, 1)


def _almost_all(correct: float, of: int) -> bool:
    return min(correct, of - correct) < FEW


def _central_95(means: np.ndarray) -> tuple[float, float]:
    low, high = (float(value) for value in np.quantile(means, [0.025, 0.975]))
    return low, high
