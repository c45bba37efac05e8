"""What all configuration models share: strict, frozen, documented field by field."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
HEADER_PATTERN = r"^[A-Za-z0-9-]{0,64}$"

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
"""A name of a teacher, task, plan or student."""

MOST = 10**12
"""Bound of all counts, so that products of two of them and sums fit the database's 64 bits in practice."""

Positive = Annotated[int, Field(gt=0, le=MOST)]
NonNegative = Annotated[int, Field(ge=0, le=MOST)]
Money = Annotated[float, Field(ge=0, le=1e9)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Section(BaseModel):
    """A table of `config.toml`: an unknown key is an error, a value is of its type or refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
