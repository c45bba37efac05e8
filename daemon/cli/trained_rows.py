"""Rows of a training set in the form of the student, as trainers such as TRL read them: `coterie export dataset --format sft`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from daemon.cli.card import Part
from daemon.training.manifest import base_of
from daemon.training.run_directory import own_directory
from engine.config import Config
from engine.config.ancestors import chain_of, with_its_form
from engine.errors import UsageError
from engine.export_formats import KEPT, Row
from engine.forms import Outline
from engine.forms.base import BaseFacts
from engine.students.sizes import BUILTIN, size_of
from engine.students.spec import Spec
from engine.students.vocabulary import facts_of, outline_for
from state.runs import run_by_id
from state.sqlite import Connection
from state.triggers import last_runs


def trained_rows(
    connection: Connection, config: Config, parts: Sequence[tuple[Part, Sequence[Row]]]
) -> Iterator[dict[str, Any]]:
    """Messages, or prompt and completion, with ids and label.

    Raises:
        UsageError: the form of a student is not known yet.
        JobFailed: its base does not have what the form needs.
    """
    for part, rows in parts:
        outline = _outline(connection, config, part)
        for trained, row in zip(part.chosen.rows, rows, strict=True):
            yield {**outline.example(trained), **{name: row[name] for name in KEPT if name in row}}


def _outline(connection: Connection, config: Config, part: Part) -> Outline:
    """The form in the configuration, else that of the student's last run, else that of its base."""
    student = with_its_form(part.student, config)
    last = last_runs(connection).get((student.name, part.scope))
    run = run_by_id(connection, last.id) if last else None
    own = own_directory(connection, config, run) if run else None
    if part.student.form is None and own is not None and (own / "spec.json").exists():
        student = student.model_copy(
            update={"form": Spec.model_validate_json((own / "spec.json").read_bytes()).form}
        )
    root = chain_of(student, config)[-1].base
    if root.startswith(BUILTIN):
        size = size_of(root)
        return outline_for(student, BaseFacts(encoder_decoder=bool(size and size.encoder_decoder)))
    facts = facts_of(base_of(config, root))
    if facts is None:
        raise UsageError(
            f"--format sft: the base {root} of student {student.name} is not on this machine, so its chat template is"
            " not known: download it, or use another format"
        )
    return outline_for(student, facts)
