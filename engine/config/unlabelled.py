"""Tasks without gold answers: what cannot be asked of them. Works on plain values, as `wrong_references` does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.methods import METHODS
from engine.strategies import STRATEGIES

Place = tuple[int | str, ...]


def unlabelled_tasks(tasks: Mapping[str, Any]) -> list[str]:
    """The tasks whose questions have no gold answers."""
    return [
        name for name, task in tasks.items() if isinstance(task, Mapping) and task.get("labelled") is False
    ]


def wrong_unlabelled(data: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Plans, students and experiments that need a gold answer of a task that has none."""
    tasks = data.get("tasks")
    without = unlabelled_tasks(tasks) if isinstance(tasks, Mapping) else []
    if not without:
        return
    for index, plan in _items(data.get("plans")):
        if not (found := _of(plan, without)):
            continue
        strategy = STRATEGIES.get(str(plan.get("strategy", "")))
        if plan.get("split", "train") != "train":
            yield (
                ("plans", index, "split"),
                f"task {found[0]} has no gold answers, so it has no {plan['split']} questions",
            )
        elif strategy is not None and strategy.hinted:
            yield (
                ("plans", index, "tasks"),
                f"task {found[0]} has no gold answer that {strategy.name} could give away",
            )
    for index, student in _items(data.get("students")):
        if not (found := _of(student, without)):
            continue
        method = METHODS.get(str(student.get("method", "fine-tune-cot")))
        curation = student.get("curation")
        labels = curation.get("labels", "gold") if isinstance(curation, Mapping) else "gold"
        if method is not None and not (method.reads_samples and "majority" in method.labels):
            able = " or ".join(
                each.name for each in METHODS.values() if each.reads_samples and "majority" in each.labels
            )
            text = f"{method.name} learns gold answers, and task {found[0]} has none: use {able}, or list other tasks"
            yield ("students", index, "method"), text
        elif labels != "majority":
            text = f'task {found[0]} has no gold answers: set curation = {{ labels = "majority" }}, or list other tasks'
            yield ("students", index, "curation"), text
    experiment = data.get("experiment")
    if isinstance(experiment, Mapping) and (found := _of(experiment, without)):
        text = f"task {found[0]} has no gold answers, and an experiment measures on test questions: list other tasks"
        yield ("experiment", "tasks"), text


def _of(item: Mapping[str, Any], without: list[str]) -> list[str]:
    """Those of the tasks that an item means."""
    named = item.get("tasks", ["*"])
    if not isinstance(named, list):
        return []
    return [name for name in without if name in named or "*" in named]


def _items(value: object) -> list[tuple[int, dict[str, Any]]]:
    return [
        (i, each) for i, each in enumerate(value if isinstance(value, list) else []) if isinstance(each, dict)
    ]
