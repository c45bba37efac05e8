"""The fingerprint of a run: the identity of the student it makes, except for the amount of data.

The marks on the fields of the configuration say what is part of it (`engine.config.base.Identity`). The fingerprints of
stored runs (column `run.recipe`) must never change, or a newer program would train them again: a field that was added
later counts only where it is used.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pydantic import ValidationError

from engine.config import StudentConfig, TrainingConfig
from engine.config.base import Again, Identity, Section, default_of, fields_marked
from engine.config.lineage import source_name
from engine.config.students import ASKED_AGAIN, OF_TRAINING, CurationConfig
from engine.forms import FIRST, form_of
from engine.methods import METHODS
from state.runs import StoredRun

SectionT = TypeVar("SectionT", bound=Section)


OF_ALL_METHODS = (
    *("drop_test_overlap", "drop_test_alike", "leave_out_flagged"),
    *("mix_answers", "formats", "shots"),
)
"""The settings of a curation that also decide the rows of a student that reads no samples."""


class HasRecipe(Protocol):
    """A plan with its fingerprint."""

    @property
    def recipe(self) -> str:
        """The fingerprint."""


UNTRAINED = ("base", "method", "form", "strategy", "exemplars", "prompts", "tasks", "scope", "evaluation")
"""The settings that decide the answers of an untrained base."""


def run_fingerprint(
    student: StudentConfig,
    plans: Sequence[HasRecipe],
    digests: Sequence[str],
    *,
    own_form: bool = False,
    sources: Sequence[str] = (),
) -> str:
    """The fingerprint of a student's runs.

    Args:
        student: the student to train.
        plans: the plans whose samples it may read.
        digests: the digests of the tasks' questions, in order.
        own_form: its base decides its form (`settled`). The form of the first release counts nothing.
        sources: the students that it starts from: they count in place of their names.
    """
    settings = identity_of(student)
    if source_name(student.base) is not None:
        settings["base"] = ["students", *sources]
    settings.pop("form", None)
    if student.training.lora_rank:  # it says that it is LoRA
        settings["training"].pop("adapter", None)
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


@dataclass(frozen=True, slots=True)
class Settled:
    """A student as its next run has it."""

    student: StudentConfig
    """With its form, where that is known before its base is opened."""
    fingerprint: str
    runs: tuple[StoredRun, ...] = ()
    """Its runs: those of the same student, oldest first."""


def settled(
    student: StudentConfig,
    plans: Sequence[HasRecipe],
    digests: Sequence[str],
    runs: Sequence[StoredRun],
    *,
    sources: Sequence[str] = (),
) -> Settled:
    """The student with its form, the fingerprint of its runs, and which of `runs` are runs of it.

    Without a form in the configuration, the base decides. But a student that has runs from before there were forms goes
    on in the first one: the same fingerprint always means the same form, and nothing is trained again.

    A run is of the same student if the fingerprint with the run's own values of what changes nothing (`as_in`) is the
    stored one. The student then goes on with the fingerprint of its newest run.

    Args:
        student: the student to train.
        plans: the plans whose samples it may read.
        digests: the digests of the tasks' questions, in order.
        runs: the runs that may be its own, oldest first.
        sources: the students that it starts from.
    """
    open_form = student.form is None and not student.base.startswith("builtin:")
    own: dict[bool, list[StoredRun]] = {False: [], True: []}
    for run in runs:
        for by_base in (False, True) if open_form else (False,):
            made = as_in(student, run)
            if run_fingerprint(made, plans, digests, own_form=by_base, sources=sources) == run.fingerprint:
                own[by_base].append(run)
    by_base = open_form and not own[False]
    found = tuple(own[by_base])
    if student.form is None and not by_base:
        student = student.model_copy(update={"form": FIRST})
    now = (
        found[-1].fingerprint
        if found
        else run_fingerprint(student, plans, digests, own_form=by_base, sources=sources)
    )
    return Settled(student, now, found)


def renamed(
    known: Sequence[tuple[tuple[str, str], Settled]],
    runs: Sequence[StoredRun],
    same: Callable[[int, StoredRun], bool],
) -> dict[int, str]:
    """The students, by run, to whom runs belong that were made under another name.

    Args:
        known: the name and scope of each configured student, and its runs under its own name.
        runs: all runs.
        same: whether a run is of the student at a place in `known`, but for its name.
    """
    own = {run.id for _, settled in known for run in settled.runs}
    taken = {(*key, run.trigger) for key, settled in known for run in settled.runs}
    found: dict[int, str] = {}
    for run in runs:
        if run.id in own:
            continue
        for place, ((name, scope), _) in enumerate(known):
            other = scope == run.scope and name != run.name and (name, scope, run.trigger) not in taken
            if other and same(place, run):
                found[run.id] = name
                taken.add((name, scope, run.trigger))
                break
    return found


def asked_otherwise(student: StudentConfig, run: StoredRun) -> dict[str, tuple[Any, Any]]:
    """The settings of a finished run's evaluation that are other ones now, as (before, now)."""
    before = run.student.get("evaluation", {})
    names = (
        ASKED_AGAIN if student.evaluation.samples else [name for name in ASKED_AGAIN if name != "temperature"]
    )
    values = {name: (before.get(name), getattr(student.evaluation, name)) for name in names}
    return {name: pair for name, pair in values.items() if name in before and pair[0] != pair[1]}


def evaluated_now(
    student: StudentConfig,
    plans: Sequence[HasRecipe],
    digests: Sequence[str],
    run: StoredRun,
    *,
    sources: Sequence[str] = (),
) -> str:
    """The fingerprint of a run of the same student once it is evaluated as the student is now (with its form)."""
    made = as_in(student, run).model_copy(update={"evaluation": student.evaluation})
    return run_fingerprint(made, plans, digests, own_form=student.form is None, sources=sources)


def as_in(student: StudentConfig, run: StoredRun) -> StudentConfig:
    """The student with the values of a stored run for all settings that change nothing of what is trained.

    Those are the ZeRO stage, names of plans and tasks (their content is in the fingerprint), how many questions are asked
    at a time, how a finished student is asked, the shape of micro-batches where each step has the same rows, and how samples
    are chosen where none are read.
    """
    before = run.student
    trains = METHODS[student.method].trains
    asked = () if trains else OF_TRAINING
    marks = (Again.NOTHING, *((Again.EVALUATES,) if trains else ()))
    shape = _same_steps(student.training, before.get("training", {}), run.rows)

    def section(
        part: SectionT, values: Mapping[str, Any], *marks: Again, also: Sequence[str] = ()
    ) -> SectionT:
        names = (*fields_marked(type(part), *marks), *also)
        return part.model_copy(update={name: values[name] for name in names if name in values})

    evaluation = section(student.evaluation, before.get("evaluation", {}), *marks, also=asked)
    training = section(
        student.training, before.get("training", {}), Again.NOTHING, *((Again.SAME_STEPS,) if shape else ())
    )
    parts: dict[str, Section] = {"evaluation": evaluation, "training": training}
    unread: tuple[str, ...] = ()
    if not METHODS[student.method].reads_samples:
        unread = "rationales", "teachers"
        free = [name for name in CurationConfig.model_fields if name not in OF_ALL_METHODS]
        parts["curation"] = section(student.curation, before.get("curation", {}), also=free)
    return section(student.model_copy(update=parts), before, Again.NOTHING, also=unread)


def _same_steps(now: TrainingConfig, before: Mapping[str, Any], rows: int) -> bool:
    """Whether each optimizer step has the same rows with two shapes of micro-batches, of so many rows in all."""
    try:
        then = TrainingConfig.model_validate(before)
    except ValidationError:
        return False
    shapes = [(each.batch_rows, each.accumulation * each.devices) for each in (now, then)]
    if shapes[0] == shapes[1]:
        return now.batch_rows is not None or now.batch_tokens == then.batch_tokens
    # Where an epoch ends within a step, the step goes on with the next epoch: then the shape matters.
    steps = {(size * of, math.ceil(rows / size) % of) for size, of in shapes if size is not None}
    return None not in (now.batch_rows, then.batch_rows) and len(steps) == 1 and steps.pop()[1] == 0


def identity_of(section: Section) -> dict[str, Any]:
    """The settings of a section, and of the sections in it, that are part of a fingerprint."""
    model = type(section)
    if_set = fields_marked(model, Identity.IF_SET)
    seen = section.model_dump(
        mode="json", include=set(fields_marked(model, Identity.ALWAYS, Identity.IF_SET))
    )
    for name in list(seen):
        value = getattr(section, name)
        if name in if_set and value == default_of(model, name):
            del seen[name]
        elif isinstance(value, Section):
            seen[name] = identity_of(value)
    return seen
