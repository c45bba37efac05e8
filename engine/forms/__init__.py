"""Forms: how a question, a rationale and an answer become the text, and the tokens, that a student learns.

One module per form, one `Form` each, found when this package is imported. To add one, add a module: the configuration
accepts its settings, and training, evaluation, the exported template, cards, checks and exports ask its object.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from engine.forms._prompted import PromptedForm
from engine.forms.base import Form, FormSettings, Outline, TokenForm
from engine.variants import discover

FORMS = discover(__name__, Form, helpers=("base",), order=lambda form: form.rank)  # type: ignore[type-abstract]

if TYPE_CHECKING:
    FormConfig = FormSettings
else:
    FormConfig = Annotated[
        reduce(or_, (form.settings for form in FORMS.values())), Field(discriminator="type")
    ]
    """The settings of any form, told apart by `type`."""


def form_of(settings: FormSettings) -> Form[Any]:
    """The form that these settings are of."""
    return FORMS[settings.type]


def default_settings(*, template: bool, encoder_decoder: bool) -> FormSettings:
    """The form of a student whose configuration names none.

    Args:
        template: whether the tokenizer of the base has a chat template.
        encoder_decoder: whether the base is one.
    """
    suits = (
        form for form in FORMS.values() if form.suits(template=template, encoder_decoder=encoder_decoder)
    )
    return _defaults(next(iter(suits)))


def _defaults(form: Form[Any]) -> FormSettings:
    found: FormSettings = form.settings(type=form.name)
    return found


FIRST = _defaults(next(form for form in FORMS.values() if form.first_release))
"""The form of every student that was trained before there were others."""

__all__ = [
    "FIRST",
    "FORMS",
    "Form",
    "FormConfig",
    "FormSettings",
    "Outline",
    "PromptedForm",
    "TokenForm",
    "default_settings",
    "form_of",
]
