from __future__ import annotations

import pytest

from state.confidence_interval import wilson


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_the_published_one(correct, n, low, high) -> None:
    assert wilson(correct, n) == pytest.approx((low, high), abs=5e-5)


def test_the_ends_are_exact_and_nothing_is_known_without_trials() -> None:
    assert wilson(7, 7)[1] == 1.0 and wilson(0, 7)[0] == 0.0
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("correct", [-1, 8])
def test_impossible_counts_are_refused(correct) -> None:
    with pytest.raises(ValueError, match="between 0 and n = 7"):
        wilson(correct, 7)
