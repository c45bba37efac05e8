"""Objectives: what a student minimises. One module per objective, one object each, found when this package is imported.

To add one, add a module with an `OBJECTIVE`. The configuration accepts its name, and the training process asks it for losses. A
module imports torch only in the functions that run there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from engine.students.objectives.base import Objective
from engine.variants import discover

OBJECTIVES = discover(__name__, Objective, helpers=("base",), order=lambda objective: objective.rank)  # type: ignore[type-abstract]

if TYPE_CHECKING:
    ObjectiveName = str
else:
    ObjectiveName = Literal[tuple(OBJECTIVES)]
    """The name of an objective, as a type that pydantic checks."""

__all__ = ["OBJECTIVES", "Objective", "ObjectiveName"]
