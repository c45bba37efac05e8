"""A template of yours: a text with the question, a text with the target, and a text that ends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import model_validator

from engine.forms._text import Marks, TextForm, TextOutline
from engine.forms.base import BaseFacts, Form, FormSettings, Note, Outline, TokenForm
from engine.methods.base import Method


class PlainSettings(FormSettings):
    """A template of yours."""

    type: Literal["plain"]
    """The form's name."""

    prompt: str = "{question}\n"
    """What the student continues, with `{question}` once."""

    completion: str = "{target}"
    """What it writes, with `{target}` once: the rationale with the answer, or the answer alone."""

    end: str = ""
    """Text that ends a completion, before the tokenizer's end token."""

    @model_validator(mode="after")
    def _places(self) -> Self:
        for name, place in (("prompt", "{question}"), ("completion", "{target}")):
            if getattr(self, name).count(place) != 1:
                raise ValueError(f"{name} must contain {place} once")
        return self

    @property
    def marks(self) -> Marks:
        """The texts around question and target."""
        before, _, after = self.prompt.partition("{question}")
        lead, _, trail = self.completion.partition("{target}")
        return Marks(before, after, lead, trail, self.end)


@dataclass(frozen=True, kw_only=True)
class Plain(Form[PlainSettings]):
    """The settings say the texts."""

    def suits(self, *, template: bool, encoder_decoder: bool) -> bool:
        """None: it has to be asked for."""
        return False

    def outline(self, settings: PlainSettings, method: Method, base: BaseFacts) -> Outline:
        """The marks of the settings."""
        return TextOutline(settings.marks, method)

    def open(
        self, settings: PlainSettings, method: Method, tokenizer: Any, *, encoder_decoder: bool, note: Note
    ) -> TokenForm:
        """The marks of the settings."""
        return TextForm(settings.marks, method, tokenizer, encoder_decoder=encoder_decoder, known=True)


FORM = Plain(
    name="plain",
    doc="A template of yours, for base models without a chat template.",
    settings=PlainSettings,
    rank=2,
    builtin=True,
)
