"""Items of the lists of `[experiment]` that may be tables: bases, filters and ways of sampling."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, field_serializer

from engine.config.base import Name, Section
from engine.config.json_values import json_table
from engine.config.students import CurationConfig, TrainingConfig

Rate = Annotated[float, Field(gt=0)]


class BaseConfig(Section):
    """A base of `bases` that has a name or training settings of its own."""

    base: str
    """As in `[[students]]`."""

    name: Name | None = None
    """What the tables and the names of its students call it. Unset: as `base`."""

    training: TrainingConfig = Field(default_factory=TrainingConfig)
    """The keys written here replace those of the experiment's `training` (and `fine_tune`) for this base."""

    learning_rates: list[Rate] = Field(default_factory=list)
    """Replaces the experiment's `learning_rates` for this base."""

    @field_serializer("training", mode="plain", return_type=dict)
    def _written(self, value: TrainingConfig) -> dict[str, object]:
        """Only what was written, so that a stored experiment reads as the file did."""
        return value.model_dump(mode="json", exclude_unset=True)

    @property
    def label(self) -> str:
        """What it is called."""
        return self.name or self.base


class FilterConfig(Section):
    """A filter of `filters` that is a table."""

    name: Name
    """What the tables and the names of its students call it."""

    curation: CurationConfig = Field(default_factory=CurationConfig)
    """The keys written here replace those of the experiment's `curation` for this filter; `keep` is `correct` if it is not written."""

    @field_serializer("curation", mode="plain", return_type=dict)
    def _written(self, value: CurationConfig) -> dict[str, object]:
        """Only what was written, so that a stored experiment reads as the file did."""
        return value.model_dump(mode="json", exclude_unset=True)

    @property
    def label(self) -> str:
        """What it is called."""
        return self.name


class SamplingConfig(Section):
    """A way of sampling, of `samplings`."""

    name: Name
    """What the tables and the names of its plans and students call it."""

    plan: Annotated[dict[str, object], AfterValidator(json_table)] = Field(default_factory=dict)
    """The keys written here replace those of the experiment's `plan`, for the samples that students read."""

    @property
    def label(self) -> str:
        """What it is called."""
        return self.name


def _word_or_table(value: object) -> str:
    return "word" if isinstance(value, str) else "table"


Base = Annotated[
    Annotated[str, Tag("word")] | Annotated[BaseConfig, Tag("table")], Discriminator(_word_or_table)
]
"""A base by name, or as a table."""

Filter = Annotated[
    Annotated[Literal["correct", "all", "random"], Tag("word")] | Annotated[FilterConfig, Tag("table")],
    Discriminator(_word_or_table),
]
"""A value of `keep`, or a table."""
