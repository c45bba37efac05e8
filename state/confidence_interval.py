"""How certain a share is, and a difference of two: Wilson's interval, McNemar's test, and how an accuracy is written."""

from __future__ import annotations

import math

Z_95 = 1.959963984540054


def wilson(correct: float, n: int, z: float = Z_95) -> tuple[float, float]:
    """The interval of a share of `correct` in `n` trials, at 95 % by default. A mean of several counts need not be an integer.

    Unlike the normal approximation it stays within [0, 1] and is accurate for small n and for shares near 0 and 1
    (Wilson 1927; Brown, Cai and DasGupta 2001). Without trials it is (0, 1).

    Raises:
        ValueError: `correct` is not between 0 and `n`.
    """
    if not 0 <= correct <= n:
        raise ValueError(f"correct must be between 0 and n = {n}, got {correct}")
    if n == 0:
        return 0.0, 1.0
    share = correct / n
    scale = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At the ends the bound is exactly 0 or 1; rounding would leave 1e-17 there.
    low = 0.0 if correct == 0 else max(0.0, centre - half)
    high = 1.0 if correct == n else min(1.0, centre + half)
    return low, high


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided p of McNemar's exact test: that so uneven a split, or a more uneven one, comes from fair coins."""
    n, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(n, k) for k in range(fewer + 1))
    return float(min(1.0, 2 * tail / 2**n))


def newcombe(both: float, only_first: float, only_second: float, neither: float) -> tuple[float, float]:
    """How far the 95 % interval of a difference of paired shares reaches below and above it.

    Means of several counts need not be integers, but their sum is the number of questions.
    """
    n = round(both + only_first + only_second + neither)
    first, second = (both + only_first) / n, (both + only_second) / n
    low_1, high_1 = wilson(min(both + only_first, n), n)
    low_2, high_2 = wilson(min(both + only_second, n), n)
    product = both * neither - only_first * only_second
    spread = math.sqrt(
        (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    )
    together = 0.0 if not spread else (max(product - n / 2, 0.0) if product > 0 else product) / spread
    return _reach(first - low_1, high_2 - second, together), _reach(high_1 - first, second - low_2, together)


def _reach(first: float, second: float, together: float) -> float:
    return math.sqrt(max(0.0, first * first - 2 * together * first * second + second * second))


def percent(share: float) -> str:
    """A share as people read it, without the sign: `66.0`."""
    return f"{100 * share:.1f}"


def accuracy_text(accuracy: float, low: float, high: float) -> str:
    """An accuracy in percent with its interval: `66.0 (58.1–73.1)`."""
    return f"{percent(accuracy)} ({percent(low)}–{percent(high)})"
