"""Operations: what makes a student from students. One module per operation, one object each, found when this package is imported.

To add one, add a module with an `OPERATION`: the configuration accepts its name and its keys, the daemon makes its runs, and the
training process makes, evaluates and exports its students. A module imports torch only in the functions that run there.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from engine.config.derived import DerivedConfig
from engine.students.operations.base import Made, Member, Operation
from engine.variants import discover

OPERATIONS: dict[str, Operation[Any]] = discover(__name__, Operation, helpers=("base",))  # type: ignore[type-abstract]

if TYPE_CHECKING:
    DerivedOf = DerivedConfig
else:
    DerivedOf = Annotated[
        reduce(or_, (each.settings for each in OPERATIONS.values())), Field(discriminator="make")
    ]
    """The settings of any operation, told apart by `make`."""

__all__ = ["OPERATIONS", "DerivedConfig", "DerivedOf", "Made", "Member", "Operation"]
