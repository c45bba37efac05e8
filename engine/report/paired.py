"""Two arms compared on the same test questions: the difference of their accuracies, its 95 % interval, and a test of it.

The arms answer the same questions, so their difference is surer than two separate intervals suggest.

- One seed each: Newcombe's interval for paired proportions (1998, method 10: from Wilson's intervals and the correlation
  of the answers), and McNemar's exact test (binomial, two-sided) on the questions that only one of the two answers
  correctly. Both are about questions: what another seed of training would change is in neither.
- Several seeds: interval and p from the variance between seeds and between questions (`engine/report/variance.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.report.intervals import FEW, table_of
from engine.report.variance import Array, spread_of_difference
from state.confidence_interval import mcnemar, newcombe

Runs = Sequence[Mapping[int, bool]]
"""An arm's answers by seed: whether each question was answered correctly."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The accuracy of one arm minus that of another, as shares, with its 95 % interval and the p of no difference.

    `only_first` and `only_second` count the questions that one arm alone answers correctly; 0 with several seeds.
    """

    points: float
    low: float
    high: float
    p: float
    only_first: int
    only_second: int
    n: int
    seeds: tuple[int, int] = (1, 1)


def difference(both: int, only_first: int, only_second: int, neither: int) -> Difference:
    """The comparison of two runs from the numbers of questions that both, one of them, or neither answers correctly.

    Raises:
        ValueError: there are no questions.
    """
    n = both + only_first + only_second + neither
    if n == 0:
        raise ValueError("no questions to compare on")
    below, above = newcombe(both, only_first, only_second, neither)
    points = (only_first - only_second) / n
    p = mcnemar(only_first, only_second)
    return Difference(points, points - below, points + above, p, only_first, only_second, n)


def compare(first: Runs, second: Runs) -> Difference | None:
    """The first arm minus the second, on the questions that all their runs answered; None without any."""
    runs = [*first, *second]
    common = sorted(set.intersection(*(set(run) for run in runs))) if first and second else []
    if not common:
        return None
    one, other = table_of(first, common), table_of(second, common)
    if len(runs) == 2:
        pairs = list(zip(one[0], other[0], strict=True))
        return difference(*(pairs.count(pair) for pair in ((1, 1), (1, 0), (0, 1), (0, 0))))
    return _over_seeds(one, other)


def _over_seeds(first: Array, second: Array) -> Difference:
    """With few questions that the arms answer differently, their part is no less than Newcombe's; p no less than a sign test's."""
    questions = first.shape[-1]
    found = spread_of_difference(first, second)
    points, half = float(first.mean() - second.mean()), float(found.half_width())
    below = above = half
    one, other = first.mean(axis=0), second.mean(axis=0)
    if np.count_nonzero(one != other) < FEW:
        counts = (one * other, one * (1 - other), (1 - one) * other, (1 - one) * (1 - other))
        below, above = (max(half, reach) for reach in newcombe(*(float(each.sum()) for each in counts)))
    p = max(float(found.p(np.asarray(points))), min(1.0, 2.0 * 0.5**questions))
    low, high = max(-1.0, points - below), min(1.0, points + above)
    return Difference(points, low, high, p, 0, 0, questions, (len(first), len(second)))


def holm(ps: Sequence[float]) -> list[float]:
    """P-values corrected for the number of comparisons (Holm 1979): the chance of any false positive among them stays."""
    found = [1.0] * len(ps)
    largest = 0.0
    for place, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        largest = max(largest, min(1.0, (len(ps) - place) * ps[index]))
        found[index] = largest
    return found
