"""Whether the intervals of several seeds cover as often as they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.report.intervals import interval
from engine.report.variance import spread, spread_of_difference

DRAWS, QUESTIONS = 1500, 150
LEAST = 0.93


def answers(rng: np.random.Generator, *, seeds: int, between: float, mean: float, ease: Any) -> Any:
    """Tables of answers whose seeds differ by a standard deviation of `between`; [draws, seeds, questions]."""
    own = rng.normal(0, between, size=(DRAWS, seeds, 1))
    return (rng.random((DRAWS, seeds, QUESTIONS), dtype=np.float32) < mean + own + ease).astype(float)


@pytest.mark.parametrize("between", [0.0, 0.06, 0.12])
@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_cover_accuracies_and_differences(seeds: int, between: float) -> None:
    rng = np.random.default_rng(7)
    ease = rng.uniform(-0.2, 0.2, size=(DRAWS, 1, QUESTIONS))  # other questions in every draw
    first = answers(rng, seeds=seeds, between=between, mean=0.6, ease=ease)
    second = answers(rng, seeds=seeds, between=0.03, mean=0.5, ease=ease)
    _, low, high = interval(first)
    assert np.mean((low <= 0.6) & (high >= 0.6)) >= LEAST
    apart = first.mean(axis=(1, 2)) - second.mean(axis=(1, 2))
    half = spread_of_difference(first, second).half_width()
    assert np.mean(np.abs(apart - 0.1) <= half) >= LEAST


def test_the_interval_is_not_wider_than_it_need_be() -> None:
    """Five seeds that do not differ, with questions that differ fully: the interval is about that of the questions."""
    rng = np.random.default_rng(7)
    alike = np.repeat((rng.random((DRAWS, 1, QUESTIONS)) < 0.6).astype(float), 5, axis=1)
    mean, low, high = interval(alike)
    expected = 2 * 1.96 * np.sqrt(mean * (1 - mean) / QUESTIONS)
    assert np.mean((high - low) / expected) == pytest.approx(1.0, abs=0.03)


def test_the_two_parts_are_those_of_the_analysis_of_variance() -> None:
    table = np.array([[1.0, 0.0, 1.0, 1.0], [1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0]])
    found = spread(table)
    assert found.seeds == pytest.approx(np.var([0.75, 0.5, 0.5], ddof=1) / 3)
    by_question = np.array([2 / 3, 0, 2 / 3, 1])
    rest = table - table.mean(axis=1, keepdims=True) - by_question + table.mean()
    expected = np.var(by_question, ddof=1) / 4 - (rest**2).sum() / 6 / 12
    assert found.questions == pytest.approx(max(0.0, expected))
    assert (float(found.seeds_freedom), found.questions_freedom) == (2.0, 3)


def test_p_and_interval_are_the_same_test() -> None:
    rng = np.random.default_rng(3)
    table = answers(rng, seeds=3, between=0.05, mean=0.5, ease=0.0)[:50]
    apart = spread_of_difference(table, table[::-1])
    means = table.mean(axis=(1, 2)) - table[::-1].mean(axis=(1, 2))
    p = apart.p(means)
    assert ((p < 0.05) == (np.abs(means) > apart.half_width())).all()
    for level in (0.5, 0.99):
        assert ((p < 1 - level) == (np.abs(means) > apart.half_width(level))).all()
