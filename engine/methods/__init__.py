"""Student methods: one module per method, one object each, found when this package is imported.

To add a method, add a module with a `METHOD`. The configuration accepts its name, the daemon makes its rows, the
training process asks it for texts and answers, and cards and reports show it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from engine.methods.base import LabelSource, Method, RowSettings, Sample, TrainingQuestion, TrainRow
from engine.variants import discover

METHODS = discover(__name__, Method, helpers=("base",), order=lambda method: method.rank)  # type: ignore[type-abstract]

if TYPE_CHECKING:
    MethodName = str
else:
    MethodName = Literal[tuple(METHODS)]
    """The name of a method, as a type that pydantic checks."""

__all__ = [
    "METHODS",
    "LabelSource",
    "Method",
    "MethodName",
    "RowSettings",
    "Sample",
    "TrainRow",
    "TrainingQuestion",
]
