"""`[[derived]]`: students that are made from students, without rows of their own. Each operation has its own keys besides."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from engine.config.base import Identity, Name, Section, Seed, default_of
from engine.config.students import OF_TRAINING, EvaluationConfig


class DerivedConfig(Section):
    """`[[derived]]`: a student that is made from students by an operation."""

    name: Annotated[Name, Identity.NO]
    """The student's name. Others can start from it (`base = "student:NAME"`) or be made from it."""

    make: Annotated[str, Identity.ALWAYS]
    """The operation that makes it."""

    of: Annotated[list[str], Field(min_length=1), Identity.BY_CONTENT]
    """Names of the students that it is made from, also of an experiment's and of other derived ones; `*` in a name stands for any text, so `"x.fine-tune-cot.*"` means all seeds. There is one run for each task on which all of them have a student; a joint student stands for each of its tasks. The run waits for theirs, and is made again when one of them is newer."""

    seed: Annotated[Seed, Identity.ALWAYS] = 0
    """Seed of what is drawn at random: rows that an operation is computed on, sampled answers of its evaluation."""

    priority: Annotated[int, Field(ge=-1000, le=1000), Identity.NO] = 0
    """Runs with a higher priority start first."""

    evaluation: Annotated[EvaluationConfig, Identity.NO] = Field(default_factory=EvaluationConfig)
    """How it is evaluated, as `[students.evaluation]`: on all dev and test questions of its tasks. A change evaluates it again."""

    @model_validator(mode="after")
    def _not_trained(self) -> Self:
        for name in OF_TRAINING:
            if getattr(self.evaluation, name) != default_of(EvaluationConfig, name):
                raise ValueError(f"evaluation.{name} is about a training, and nothing is trained: remove it")
        return self
