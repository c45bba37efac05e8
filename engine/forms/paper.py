"""The form of the paper, by architecture.

                  CONTINUED (decoders)       TRANSLATED (encoder-decoders)
    prompt        {question} ###             {question}
    completion     {target} END              {target}

A method (engine/methods) makes the target, for example `{rationale} --> {answer}`. An encoder-decoder sees where the
question ends, and its decoder stops at the tokenizer's end token, so nothing needs a mark. Source: Ho et al. 2023,
appendix on the format of fine-tuning data; for encoder-decoders, the templates of the authors' public code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from engine.forms._text import Marks, TextForm, TextOutline
from engine.forms.base import BaseFacts, Form, FormSettings, Note, Outline, TokenForm
from engine.methods.base import Method

CONTINUED = Marks(after=" ###", lead=" ", end=" END")
TRANSLATED = Marks()


class PaperSettings(FormSettings):
    """The marks of the paper."""

    type: Literal["paper"]
    """The form's name."""


@dataclass(frozen=True, kw_only=True)
class Paper(Form[PaperSettings]):
    """`{question} ###` and ` {target} END`; an encoder-decoder needs no marks."""

    first_release: ClassVar[bool] = True

    def suits(self, *, template: bool, encoder_decoder: bool) -> bool:
        """Every base."""
        return True

    def outline(self, settings: PaperSettings, method: Method, base: BaseFacts) -> Outline:
        """The marks of the architecture."""
        return TextOutline(TRANSLATED if base.encoder_decoder else CONTINUED, method)

    def open(
        self, settings: PaperSettings, method: Method, tokenizer: Any, *, encoder_decoder: bool, note: Note
    ) -> TokenForm:
        """The marks of the architecture."""
        marks = TRANSLATED if encoder_decoder else CONTINUED
        return TextForm(marks, method, tokenizer, encoder_decoder=encoder_decoder)


FORM = Paper(
    name="paper",
    doc="The paper's: `{question} ###`, then ` {target} END`. Encoder-decoders read the question and write the target, without marks.",
    settings=PaperSettings,
    rank=1,
    builtin=True,
)
