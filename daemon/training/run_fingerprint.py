"""The fingerprint of a run: the identity of the student it makes, except for the amount of data.

The marks on the fields of the configuration say what is part of it (`engine.config.base.Identity`). The fingerprints of
stored runs (column `run.recipe`) must never change, or a newer program would train them again: a field that was added
later counts only where it is used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from typing import Any

from daemon.sampling.plans import ActivePlan
from engine.config import StudentConfig
from engine.config.base import Identity, Section, default_of, fields_marked
from engine.forms import FIRST, form_of
from engine.methods import METHODS

UNTRAINED = ("base", "method", "form", "strategy", "exemplars", "prompts", "tasks", "scope", "evaluation")
"""The settings that decide the answers of an untrained base."""


def run_fingerprint(
    student: StudentConfig, plans: Sequence[ActivePlan], digests: Sequence[str], *, own_form: bool = False
) -> str:
    """The fingerprint of a student's runs.

    Args:
        student: the student to train.
        plans: the plans whose samples it may read.
        digests: the digests of the tasks' questions, in order.
        own_form: its base decides its form (`settled`). The form of the first release counts nothing.
    """
    settings = identity_of(student)
    settings.pop("form", None)
    if teaches_gold_when_wrong(student):
        # Without it, the fingerprint means rows with the teacher's own answers.
        settings["curation"]["labels"] = f"{student.curation.labels}, also when wrong"
    elif student.curation.labels == "teacher":  # the rows are those of version 0.1
        del settings["curation"]["labels"]
    if own_form or (student.form and not form_of(student.form).first_release):
        settings["form"] = student.form.identity() if student.form else "base"
    if not student.evaluation.samples:
        settings["evaluation"].pop("temperature", None)  # it is the temperature of those samples
    if not METHODS[student.method].trains:  # what decides a training does not count
        settings = {name: settings[name] for name in UNTRAINED if name in settings}
        settings["training"] = {"precision": student.training.precision, "seed": student.training.seed}
    seen = {
        "student": settings,
        "plans": sorted({plan.recipe for plan in plans}) if METHODS[student.method].reads_samples else [],
        "tasks": list(digests),
    }
    return hashlib.blake2b(json.dumps(seen, sort_keys=True).encode(), digest_size=12).hexdigest()


def teaches_gold_when_wrong(student: StudentConfig) -> bool:
    """Whether the answer that `labels` names is under wrong rationales, where version 0.1 left the teacher's own."""
    if not METHODS[student.method].reads_samples or student.curation.keep == "correct":
        return False
    return student.curation.labels != "teacher"


def settled(
    student: StudentConfig,
    plans: Sequence[ActivePlan],
    digests: Sequence[str],
    runs: Collection[str],
) -> tuple[StudentConfig, str]:
    """The student with its form, where that is known before its base is opened, and the fingerprint of its runs.

    Without a form in the configuration, the base decides. But a student that has runs from before there were forms goes
    on in the first one: the same fingerprint always means the same form, and nothing is trained again.

    Args:
        student: the student to train.
        plans: the plans whose samples it may read.
        digests: the digests of the tasks' questions, in order.
        runs: fingerprints of the runs that it has on this scope.
    """
    first = run_fingerprint(student, plans, digests)
    if student.form is not None:
        return student, first
    if student.base.startswith("builtin:") or first in runs:
        return student.model_copy(update={"form": FIRST}), first
    return student, run_fingerprint(student, plans, digests, own_form=True)


def identity_of(section: Section) -> dict[str, Any]:
    """The settings of a section, and of the sections in it, that are part of a fingerprint."""
    model = type(section)
    if_set = fields_marked(model, Identity.IF_SET)
    seen = section.model_dump(
        mode="json", include=set(fields_marked(model, Identity.ALWAYS, Identity.IF_SET))
    )
    for name in list(seen):
        value = getattr(section, name)
        if isinstance(value, Section):
            seen[name] = identity_of(value)
        elif name in if_set and value == default_of(model, name):
            del seen[name]
    return seen
