"""What an edited configuration does to what is stored: kept, graded again, set aside, bought, trained.

The configuration is compared with the database. `coterie check` says it before a start; a start and a reload say it in
events. Only reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

from daemon.catalog.changed_teachers import EarlierTeachers
from daemon.catalog.sync import Input
from daemon.events import Event, Noted
from daemon.training.edit_words import Edit, differing
from daemon.training.edited_plans import ConfiguredPlans
from daemon.training.edited_students import student_edits
from engine.config import Config, TeacherConfig
from engine.config.prices import PRICES
from state.catalog import read_known
from state.database import open_reader, schema_version
from state.edits import (
    active_tasks,
    edited_questions,
    samples_of_task,
)
from state.errors import StateMissing
from state.migrations import VERSION
from state.sqlite import Connection
from state.views.format import counted


def events_of(found: Sequence[Edit]) -> list[Event]:
    """The events of a start or a reload that took a configuration over."""
    return [Noted(what=edit.text) for edit in found if not edit.told]


def edits_since(config: Config, given: Input) -> list[Edit]:
    """The same for the database of the configuration; none where there is no database yet, or an older version's."""
    try:
        with closing(open_reader(config.database)) as connection:
            return edits(connection, config, given) if schema_version(connection) == VERSION else []
    except StateMissing:
        return []


def edits(connection: Connection, config: Config, given: Input) -> list[Edit]:
    """What changes when a configuration takes the place of the one that the database knows."""
    earlier = EarlierTeachers.stored(connection)
    if not earlier.sessions:
        return []
    found = [*_tasks(connection, config, given), *_teachers(config, earlier.sessions[0])]
    plans = ConfiguredPlans(connection, config, given, earlier)
    return [*found, *plans.edits(), *student_edits(connection, config, given, plans.counts)]


def _tasks(connection: Connection, config: Config, given: Input) -> Iterator[Edit]:
    known = read_known(connection)
    for name, task in given.tasks.items():
        if name not in known:
            continue
        before, now = known[name].answer_format, config.tasks[name].answer
        if before != now:
            samples = counted(samples_of_task(connection, name), "stored sample")
            yield Edit(
                f"task {name}: `answer` was {before} and is {now}: the next start grades its {samples} again",
                told=True,
            )
        if known[name].digest == task.digest or task.questions is None:
            continue
        edited = edited_questions(
            connection, name, ((each.key, each.text_hash, each.split, each.answer) for each in task.questions)
        )
        said = [
            f"{counted(edited.gone, 'question')} gone ({counted(edited.gone_samples, 'sample')} set aside)"
            if edited.gone
            else "",
            f"{edited.new:,} new" if edited.new else "",
            f"{edited.regold:,} with another gold answer ({counted(edited.regold_samples, 'sample')} graded again)"
            if edited.regold
            else "",
            f"{edited.moved:,} in another split ({counted(edited.moved_samples, 'sample')} moved with them)"
            if edited.moved
            else "",
        ]
        if any(said):
            yield Edit(f"task {name}: other questions: {', '.join(filter(None, said))}")
    for name in active_tasks(connection):
        if name not in config.tasks and (left := samples_of_task(connection, name)):
            yield Edit(
                f"task {name} is not configured any more: its {counted(left, 'sample')} {'stays' if left == 1 else 'stay'} stored"
            )


def _teachers(config: Config, before: Mapping[str, TeacherConfig]) -> Iterator[Edit]:
    for name, teacher in config.teachers.items():
        if name in before and (said := differing(before[name].model_dump(), teacher.model_dump(), PRICES)):
            yield Edit(f"teacher {name}: {said}: what was spent stays as it was booked")
