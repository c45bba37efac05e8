"""The form of a run's student: resolved once its base is open, written down, and opened with its tokenizer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.forms import FormSettings, Outline, TokenForm, default_settings, form_of
from engine.forms.base import BaseFacts
from engine.students import checkpoints
from engine.students.run import Run
from engine.students.sizes import Size


def with_form(run: Run, *, template: bool, encoder_decoder: bool) -> Run:
    """The run with an explicit form in its spec: what decides a run is written down before it trains.

    Args:
        run: as its directory says.
        template: whether the tokenizer of its base has a chat template.
        encoder_decoder: whether its base is one.
    """
    if run.spec.form is not None:
        return run
    form = default_settings(template=template, encoder_decoder=encoder_decoder)
    run = replace(run, spec=run.spec.model_copy(update={"form": form}))
    if run.ranks.first:
        checkpoints.replace(run.directory / "spec.json", run.spec.to_json().encode())
    return run


def builtin_outline(run: Run, size: Size) -> Outline:
    """The form of a built-in student, which has no tokenizer yet."""
    settings = _settings(run)
    return form_of(settings).outline(settings, run.method, BaseFacts(encoder_decoder=size.encoder_decoder))


def open_form(run: Run, tokenizer: Any, *, encoder_decoder: bool) -> TokenForm:
    """The form with the tokenizer of the student.

    Raises:
        JobFailed: the base does not have what the form needs.
    """
    settings = _settings(run)
    return form_of(settings).open(
        settings, run.method, tokenizer, encoder_decoder=encoder_decoder, note=run.note
    )


def _settings(run: Run) -> FormSettings:
    assert run.spec.form is not None, "with_form was called"
    return run.spec.form
