"""A setting that has several values: each is tried, and dev decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.errors import JobFailed
from engine.students.operations.base import Work

Made = tuple[Any, Mapping[str, float]]
"""A model, and what was found out while it was made."""


def best_on_dev(
    name: str, values: Sequence[float], make: Callable[[float], Made], work: Work
) -> tuple[Any, dict[str, float]]:
    """The model whose dev accuracy is the highest, of equal ones the first; with its figures, the value, and the accuracies of all.

    Args:
        name: of the setting.
        values: to try, in order. A single one is made without a question.
        make: the model of a value.
        work: of the run.

    Raises:
        JobFailed: there are several values and no dev questions.
    """
    chosen: tuple[float, Any, Mapping[str, float], float] | None = None
    told: dict[str, float] = {}
    for value in values:
        work.check()
        model, figures = make(value)
        if len(values) == 1:
            return model, {**figures, name: value}
        correct = work.score(model, "dev")
        if correct is None:
            raise JobFailed(
                f"{name} has several values, and dev decides: its tasks have no dev questions, so choose one value"
            )
        told[f"dev_{name}_{value:g}"] = correct
        if chosen is None or correct > chosen[3]:
            chosen = value, model, figures, correct
    assert chosen is not None, "there is at least one value"
    return chosen[1], {**chosen[2], name: chosen[0], **told}


def listed(value: float | Sequence[float]) -> list[float]:
    """One number, or several, as a list."""
    return [float(each) for each in value] if isinstance(value, (list, tuple)) else [float(value)]  # type: ignore[arg-type]
