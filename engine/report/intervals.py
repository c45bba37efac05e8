"""An accuracy over questions and seeds, with its 95 % interval.

One seed: Wilson's interval over questions. Several: questions and seeds are both drawn anew (a two-way bootstrap, 2,000
draws of a fixed seed), since both are samples of what could have been. With three seeds their share of the interval is
rough, and rather too small. Several answers to each question are no further questions: whole questions are drawn. Where
next to all answers, or next to none, are correct, a bootstrap sees too few of the others and Wilson's over questions stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.students.interval import wilson

DRAWS = 2000
FEW = 10
"""Answers of the rarer kind below which nothing is drawn anew."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean accuracy (0 to 1), its 95 % interval, how many questions and how many seeds."""

    accuracy: float
    low: float
    high: float
    questions: int
    seeds: int

    def text(self) -> str:
        """In percent: `74.7 (67.2-81.0)`, with an en dash."""
        return f"{100 * self.accuracy:.1f} ({100 * self.low:.1f}–{100 * self.high:.1f})"


def estimate(runs: Sequence[Mapping[int, bool]]) -> Estimate | None:
    """The estimate over one run a seed, each as question -> correct; None without answers.

    Questions that not every run answered are left out, so that seeds are compared on the same ones.
    """
    if not runs:
        return None
    common = sorted(set.intersection(*(set(run) for run in runs)))
    if not common:
        return None
    table = np.array([[run[key] for key in common] for run in runs], dtype=float)  # seeds x questions
    seeds, questions = table.shape
    mean = float(table.mean())
    if seeds == 1 or _next_to_all(table.sum(), table.size):
        return Estimate(mean, *wilson(min(mean * questions, questions), questions), questions, seeds)
    rng = np.random.default_rng(0)
    means = np.empty(DRAWS)
    for draw in range(DRAWS):
        drawn = table[rng.integers(seeds, size=seeds)]
        means[draw] = drawn.mean(axis=0)[rng.integers(questions, size=questions)].mean()
    return Estimate(mean, *_middle(means), questions, seeds)


def estimate_answers(groups: Sequence[Sequence[bool]]) -> Estimate | None:
    """The estimate over one teacher's answers, several to a question; None without answers.

    Every question counts the same; the interval is for other questions of the kind.
    """
    asked = [group for group in groups if group]
    if not asked:
        return None
    shares = np.array([sum(group) / len(group) for group in asked])
    mean, questions = float(shares.mean()), len(asked)
    if max(map(len, asked)) == 1 or _next_to_all(sum(map(sum, asked)), sum(map(len, asked))):
        return Estimate(mean, *wilson(min(mean * questions, questions), questions), questions, 1)
    rng = np.random.default_rng(0)
    means = np.array([shares[rng.integers(questions, size=questions)].mean() for _ in range(DRAWS)])
    return Estimate(mean, *_middle(means), questions, 1)


def _next_to_all(correct: float, of: int) -> bool:
    return min(correct, of - correct) < FEW


def _middle(means: np.ndarray) -> tuple[float, float]:
    low, high = (float(value) for value in np.quantile(means, [0.025, 0.975]))
    return low, high
