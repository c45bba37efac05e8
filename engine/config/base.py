"""What all configuration models share: strict, frozen, documented and marked field by field."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

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


class Identity(Enum):
    """Whether a field is part of what was paid for: the fingerprint of a plan, or of a student's run.

    It is given as metadata: `temperature: Annotated[float, Identity.ALWAYS] = 0.7`.
    """

    ALWAYS = "always"
    """Part of the fingerprint. Only for fields of the first release."""

    IF_SET = "if set"
    """Part of the fingerprint unless it has its default, so that fingerprints from before the field existed stay."""

    BY_CONTENT = "by content"
    """What it refers to is part of the fingerprint (models of teachers, templates, data), not the field itself."""

    NO = "no"
    """No part of it: the field can change, and what was paid for stays."""


class Again(Enum):
    """What a change of a field does to a finished run although it is part of the stored fingerprint: nothing is trained.

    It stands beside `Identity`, for fields that were once believed to make another student.
    """

    NOTHING = "nothing"
    """It does not change what is trained."""

    SAME_STEPS = "same steps"
    """Nothing, as long as each optimizer step has the same rows."""

    EVALUATES = "evaluates"
    """A finished student is evaluated again."""


class Change(Enum):
    """What a running daemon does with a changed field when it reads the configuration again.

    It is given as metadata. A field without a mark takes effect at once.
    """

    RESTART = "restart"
    """The old value stays in force until the daemon starts again."""

    RECONNECT = "reconnect"
    """Of a teacher: takes effect at once, with a new client; what was learned about the server is forgotten."""

    SERVER = "server"
    """Of a built-in teacher's server: the old value stays in force until the daemon starts again."""

    SERVER_LIMIT = "server limit"
    """Takes effect at once, but the server of a built-in teacher keeps the old value until the daemon starts again."""


def fields_marked(model: type[BaseModel], *marks: Enum) -> tuple[str, ...]:
    """Names of a model's fields that have one of these marks, in order."""
    return tuple(
        name
        for name, field in model.model_fields.items()
        if any(isinstance(each, Enum) and each in marks for each in field.metadata)
    )


def default_of(model: type[BaseModel], name: str) -> Any:
    """The default of a field."""
    return model.model_fields[name].get_default(call_default_factory=True)
