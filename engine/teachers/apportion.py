"""Splits a whole number exactly by weights: tokens and micro-dollars of one request among its rationales."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise


def apportion(total: int, weights: Sequence[float]) -> list[int]:
    """Whole parts in proportion to `weights` (none negative) that add up to `total`; equal parts if all weights are 0.

    Each part is within one of its exact share; earlier parts are rounded up.
    """
    if not any(weights):
        weights = [1] * len(weights)
    sums = list(accumulate(weights, initial=0.0))
    ends = [min(total, math.ceil(total * part / sums[-1])) for part in sums]
    return [after - before for before, after in pairwise(ends)]
