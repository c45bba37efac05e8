"""Options of procedural tasks, `[tasks.NAME.options]`: a model for each task, and errors that say what is expected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from engine.config.base import Section
from engine.config.faults import nearest, quoted
from engine.config.tasks import AnswerFormat
from engine.errors import ConfigError

Value = int | float | str | bool


class TaskOptions(Section):
    """Base of the options models. A field's docstring is shown when its value is refused."""

    span: ClassVar[str | None] = None
    """X if the options X_min and X_max bound the length of a question."""

    @classmethod
    def resolve(cls, where: str, given: Mapping[str, Value], answer: AnswerFormat) -> Self:
        """The options of a configuration.

        Args:
            where: the key in the configuration, `tasks.NAME.options`.
            given: the options that are set there.
            answer: the task's answer format.

        Raises:
            ConfigError: an unknown option (names the nearest), or a wrong value.
        """
        unknown = [name for name in given if name not in cls.model_fields]
        if unknown:
            raise ConfigError(
                f"{where}.{unknown[0]}: unknown option; {nearest(unknown[0], sorted(cls.model_fields))}"
            )
        try:
            options = cls.model_validate(dict(given))
        except ValidationError as error:
            name = str(error.errors()[0]["loc"][0])
            field = cls.model_fields[name]
            raise ConfigError(
                f"{where}.{name}: expected {_expected(field)} (got {quoted(given[name])}). {field.description}"
            ) from None
        return options.adjusted(where, answer)

    def adjusted(self, where: str, answer: AnswerFormat) -> Self:
        """These options, with unset ones fitted to the others and to the answer format.

        If only one bound of `span` is set and the two would cross, the other bound moves with it.

        Raises:
            ConfigError: both bounds are set, and they cross.
        """
        if self.span is None:
            return self
        low_name, high_name = f"{self.span}_min", f"{self.span}_max"
        low, high = getattr(self, low_name), getattr(self, high_name)
        if high_name not in self.model_fields_set:
            high = max(low, high)
        if low_name not in self.model_fields_set:
            low = min(low, high)
        if low > high:
            raise ConfigError(f"{where}: {low_name} ({low}) must not exceed {high_name} ({high})")
        return self.model_copy(update={low_name: low, high_name: high})

    @property
    def seed_text(self) -> str:
        """All options as one text. It is part of the generator's seed: a new option changes a task's questions."""
        values = self.model_dump()
        return ",".join(f"{name}={values[name]}" for name in sorted(values))


def _expected(field: FieldInfo) -> str:
    if field.annotation is bool:
        return "true or false"
    low = next(each.ge for each in field.metadata if hasattr(each, "ge"))
    high = next(each.le for each in field.metadata if hasattr(each, "le"))
    return f"a whole number from {low:,} to {high:,}"
