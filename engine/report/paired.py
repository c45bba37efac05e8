"""Students compared on the same test questions: the difference of two accuracies, its 95 % interval, and a test of it.

Two students answer the same questions, so their difference is surer than two separate intervals suggest. The interval is
Newcombe's for paired proportions (1998, method 10: from Wilson's intervals and the correlation of the answers), the test
McNemar's exact one (binomial, two-sided) on the questions that only one of the two answers correctly. Both are about
questions: what another seed of training would change is in neither.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from engine.confidence_interval import percent, wilson
from engine.report.accuracy_table import newest_runs, text_table
from state.results import Results
from state.safe import safe

MOST = 8
"""Students of a task whose pairs are all listed."""

READING = (
    "Each line is a difference of accuracies in points on the same test questions, with its 95 % interval (Newcombe), and"
    " the p of McNemar's exact test on the questions that only one of the two answers correctly. Each p is that of one"
    " comparison: of twenty without a real difference, one falls below 0.05. Other seeds of training may differ by more."
)


@dataclass(frozen=True, slots=True)
class Difference:
    """The accuracy of one student minus that of another, as shares, with its 95 % interval and the p of no difference."""

    points: float
    low: float
    high: float
    p: float
    only_first: int
    only_second: int
    n: int


def difference(both: int, only_first: int, only_second: int, neither: int) -> Difference:
    """The comparison of two students from the numbers of questions that both, one of them, or neither answers correctly.

    Raises:
        ValueError: there are no questions.
    """
    n = both + only_first + only_second + neither
    if n == 0:
        raise ValueError("no questions to compare on")
    first, second = (both + only_first) / n, (both + only_second) / n
    low_1, high_1 = wilson(both + only_first, n)
    low_2, high_2 = wilson(both + only_second, n)
    product = both * neither - only_first * only_second
    spread = math.sqrt(
        (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    )
    together = 0.0 if not spread else (max(product - n / 2, 0.0) if product > 0 else product) / spread
    points = (only_first - only_second) / n
    below, above = (
        _reach(first - low_1, high_2 - second, together),
        _reach(high_1 - first, second - low_2, together),
    )
    return Difference(
        points, points - below, points + above, mcnemar(only_first, only_second), only_first, only_second, n
    )


def _reach(first: float, second: float, together: float) -> float:
    return math.sqrt(max(0.0, first * first - 2 * together * first * second + second * second))


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided p of McNemar's exact test: that so uneven a split, or a more uneven one, comes from fair coins."""
    n, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(n, k) for k in range(fewer + 1))
    return float(min(1.0, 2 * tail / 2**n))


def differences(results: Results, answers: Mapping[tuple[int, str], Mapping[int, bool]]) -> str:
    """A table of all pairs of a task's students, newest runs only; empty where there are none.

    Args:
        results: the runs.
        answers: by run and task, whether each test question was answered correctly.
    """
    body, left_out = [], []
    for task in results.tasks:
        arms = [
            (run.student, answers[run.run_id, task.name])
            for run in newest_runs(task, results)
            if (run.run_id, task.name) in answers
        ]
        if len(arms) > MOST:
            left_out.append(
                f"{task.name} has {len(arms)} students: with more than {MOST}, pairs are not listed."
            )
            continue
        for (name, first), (other, second) in combinations(arms, 2):
            common = first.keys() & second.keys()
            if not common:
                continue
            pairs = [(second[key], first[key]) for key in common]
            found = difference(
                pairs.count((True, True)),
                pairs.count((True, False)),
                pairs.count((False, True)),
                pairs.count((False, False)),
            )
            body.append([task.name, f"{other} – {name}", *_cells(found)])
    if not body and not left_out:
        return ""
    head = ("task", "students", "difference (95 % interval)", "p", "only the first", "only the second", "n")
    table = text_table(head, body, left=2) if body else ""
    return safe("\n\n".join(part for part in (table, " ".join(left_out)) if part))


def _cells(found: Difference) -> list[str]:
    p = "< 0.001" if found.p < 0.001 else f"{found.p:.3f}"
    said = f"{_signed(found.points)} ({_signed(found.low)} to {_signed(found.high)})"
    return [said, p, str(found.only_first), str(found.only_second), f"{found.n:,}"]


def _signed(share: float) -> str:
    text = percent(abs(share))
    return text if text == "0.0" else f"{'+' if share > 0 else '−'}{text}"
