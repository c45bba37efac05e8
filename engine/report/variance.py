"""How uncertain a mean over questions and seeds is: a linear mixed model with crossed random effects, by moments.

A table holds one value per seed and question. Its mean varies with the seeds that were trained and with the questions
that were drawn. Both parts follow from the mean squares of a two-way analysis of variance (Searle, Casella and
McCulloch 1992). A part that rests on few seeds has few degrees of freedom, so it counts with its own quantile of
Student's t: the half-width is sqrt(t1² v1 + t2² v2), which covers at least as often as it says for normal parts
(Banerjee 1960). Satterthwaite's single t covers too rarely with three seeds (decision 0088).

scipy is imported only when a quantile is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

STEPS = 60
"""Halvings of the search for a p-value: exact to 1e-16."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The variance of a mean over one or many tables, in its two parts, each with its degrees of freedom.

    `seeds` includes the seeds' own answers to these questions; it is 0 with one seed, which cannot tell.
    """

    seeds: Array
    seeds_freedom: Array
    questions: Array
    questions_freedom: int

    def half_width(self, level: float = 0.95) -> Array:
        """Half the width of the interval that covers at this level."""
        return _half_width(self, np.asarray(1 - level))

    def p(self, mean: Array) -> Array:
        """The two-sided p-value of a mean of zero: 1 minus the level of the interval that just reaches zero."""
        low, high = np.full(np.shape(mean), -700.0), np.zeros(np.shape(mean))  # log p
        for _ in range(STEPS):
            middle = (low + high) / 2
            covers = _half_width(self, np.exp(middle)) >= np.abs(mean)
            low, high = np.where(covers, middle, low), np.where(covers, high, middle)
        return np.exp(high)


def _half_width(spread: Spread, outside: Array) -> Array:
    from scipy.special import stdtrit  # the quantile of Student's t; a tenth of the import of scipy.stats

    tail = outside / 2
    seeds = np.where(spread.seeds > 0, stdtrit(np.maximum(spread.seeds_freedom, 1.0), tail), 0.0)
    questions = stdtrit(float(max(spread.questions_freedom, 1)), tail)
    return np.asarray(np.sqrt(seeds**2 * spread.seeds + questions**2 * spread.questions))


def spread(table: Array) -> Spread:
    """The parts of the variance of a table's mean.

    Args:
        table: values by seed and question, [..., seeds, questions]; several tables are treated at once.
    """
    seeds, questions = table.shape[-2:]
    by_question = table.mean(axis=-2)
    spare = max(questions - 1, 1)
    between = ((by_question - by_question.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1) / spare / questions
    if seeds == 1:
        nothing = np.zeros(table.shape[:-2])
        return Spread(nothing, nothing, between, questions - 1)
    by_seed = table.mean(axis=-1)
    own = by_seed.var(axis=-1, ddof=1) / seeds
    return Spread(
        own, np.full(own.shape, seeds - 1.0), np.maximum(0.0, between - _rest(table)), questions - 1
    )


def _rest(table: Array) -> Array:
    """The part of a mean's variance by what neither seed nor question explains."""
    seeds, questions = table.shape[-2:]
    if seeds == 1:
        return np.zeros(table.shape[:-2])
    by_seed, by_question = table.mean(axis=-1, keepdims=True), table.mean(axis=-2, keepdims=True)
    rest = ((table - by_seed - by_question + table.mean(axis=(-1, -2), keepdims=True)) ** 2).sum(
        axis=(-1, -2)
    )
    return np.asarray(rest / ((seeds - 1) * max(questions - 1, 1)) / (seeds * questions))


def spread_of_difference(first: Array, second: Array) -> Spread:
    """The parts of the variance of the difference of two means over the same questions, by different seeds.

    The seeds of the two have different variances, so their degrees of freedom are Welch's. What makes a question easy
    for both cancels.

    Args:
        first: values by seed and question, [..., seeds, questions].
        second: the same questions, by any number of seeds.
    """
    one, other = spread(first), spread(second)
    seeds = one.seeds + other.seeds
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(each.seeds > 0, each.seeds**2 / each.seeds_freedom, 0.0) for each in (one, other)]
        freedom = np.where(seeds > 0, seeds**2 / (parts[0] + parts[1]), 1.0)
    apart = first.mean(axis=-2) - second.mean(axis=-2)
    questions = apart.shape[-1]
    between = apart.var(axis=-1) / max(questions - 1, 1)
    own = np.maximum(0.0, between - _rest(first) - _rest(second))
    return Spread(seeds, freedom, own, questions - 1)
