"""Student methods: one module per method, one object each, found when this package is imported.

To add a method, add a module with a `METHOD`. The configuration accepts its name, the daemon makes its rows, the
training process asks it for texts and answers, and cards and reports show it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from engine.methods.base import (
    Asking,
    LabelSource,
    Method,
    RowSettings,
    Sample,
    StudentTurns,
    TrainingQuestion,
    TrainRow,
    Turn,
)
from engine.variants import discover

METHODS = discover(__name__, Method, helpers=("base", "formats"), order=lambda method: method.rank)  # type: ignore[type-abstract]

if TYPE_CHECKING:
    MethodName = str
    Guidance = str
else:
    MethodName = Literal[tuple(METHODS)]
    """The name of a method, as a type that pydantic checks."""
    Guidance = Literal[tuple(dict.fromkeys(each for method in METHODS.values() for each in method.guides))]
    """What a student writes before its first turn, likewise."""

__all__ = [
    "METHODS",
    "Asking",
    "Guidance",
    "LabelSource",
    "Method",
    "MethodName",
    "RowSettings",
    "Sample",
    "StudentTurns",
    "TrainRow",
    "TrainingQuestion",
    "Turn",
]
