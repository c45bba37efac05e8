"""How many test questions of the embedded default a student can look up: docs/method.md states these figures.

A pattern is what remains of a question without what its answer does not depend on: names and ordinals.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path

import pytest

from engine.config import load_config
from engine.tasks.builtin import BUILTIN_TASKS
from engine.tasks.builtin.coin_flip import CoinFlip
from engine.tasks.builtin.multi_step_arithmetic import Arithmetic
from engine.tasks.source import load_task

ROOT = Path(__file__).resolve().parents[3]
Pattern = tuple[Hashable, ...]


def pattern(problem: object) -> Pattern:
    if isinstance(problem, CoinFlip):
        return tuple(turn.flips for turn in problem.moves)
    assert isinstance(problem, Arithmetic)
    return problem.start, *((change.kind, change.amount) for change in problem.moves)


def distance(one: Sequence[object], other: Sequence[object]) -> int:
    """The fewest moves to insert, remove or replace."""
    row = list(range(len(other) + 1))
    for number, move in enumerate(one, 1):
        diagonal, row[0] = row[0], number
        for index, theirs in enumerate(other, 1):
            here = min(row[index] + 1, row[index - 1] + 1, diagonal + (move != theirs))
            diagonal, row[index] = row[index], here
    return row[-1]


def nearest(asked: Pattern, known: dict[Pattern, str]) -> str:
    """The answer that most of the most similar known patterns have."""
    by_distance: defaultdict[int, list[str]] = defaultdict(list)
    for each, answer in known.items():
        by_distance[distance(asked, each)].append(answer)
    return Counter(by_distance[min(by_distance)]).most_common(1)[0][0]


@pytest.mark.parametrize(
    ("name", "patterns", "seen", "right"),
    [("multi_step_arithmetic", 350, 0, 6), ("coin_flip", 106, 144, 144)],
)
def test_what_a_look_up_answers(name: str, patterns: int, seen: int, right: int) -> None:
    config = load_config(ROOT / "config.toml")
    task = config.tasks[name]
    solve = BUILTIN_TASKS[task.source.removeprefix("builtin:")].solve
    found: defaultdict[str, list[tuple[Pattern, str]]] = defaultdict(list)
    for question in load_task(name, task, config.folder).questions:
        trace = solve(question.text)
        assert trace is not None
        found[question.split].append((pattern(trace.problem), question.answer))
    known = dict(found["train"])
    assert len(known) == patterns and len(found["test"]) == 150
    assert sum(each in known for each, _ in found["test"]) == seen
    assert sum(nearest(each, known) == answer for each, answer in found["test"]) == right
