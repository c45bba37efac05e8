"""What an edited configuration does to what is stored: kept, graded again, set aside, bought, trained.

The configuration is compared with the database. `coterie check` says it before a start; a start and a reload say it in
events. Only reads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from daemon.catalog.changed_teachers import EarlierTeachers, samples_that_stay
from daemon.catalog.prompt_preview import templates
from daemon.catalog.served_runs import ServedRuns
from daemon.catalog.sync import Input
from daemon.events import Event, Noted
from daemon.sampling.token_accounting import price_of
from daemon.training.edit_words import Edit, are, count, differing
from daemon.training.student_edits import student_edits
from engine.config import Config, PlanConfig, TeacherConfig
from engine.config.base import Identity, fields_marked
from engine.config.panels import models_asked
from engine.config.prices import PRICES
from engine.config.root import expand, teachers_of
from engine.config.served import only_by_name
from engine.strategies import PLAIN, STRATEGIES
from state.catalog import read_known
from state.database import open_reader, schema_version
from state.edits import (
    StoredPlan,
    active_tasks,
    edited_questions,
    samples_beyond,
    samples_of_task,
    stored_plans,
    tokens_of_a_sample,
)
from state.errors import StateMissing
from state.migrations import VERSION
from state.sqlite import Connection
from state.triggers import PlanCounts
from state.views.format import money


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
            samples = count(samples_of_task(connection, name), "stored sample")
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
            f"{count(edited.gone, 'question')} gone ({count(edited.gone_samples, 'sample')} set aside)"
            if edited.gone
            else "",
            f"{edited.new:,} new" if edited.new else "",
            f"{edited.regold:,} with another gold answer ({count(edited.regold_samples, 'sample')} graded again)"
            if edited.regold
            else "",
            f"{edited.moved:,} in another split ({count(edited.moved_samples, 'sample')} moved with them)"
            if edited.moved
            else "",
        ]
        if any(said):
            yield Edit(f"task {name}: other questions: {', '.join(filter(None, said))}")
    for name in active_tasks(connection):
        if name not in config.tasks and (left := samples_of_task(connection, name)):
            yield Edit(f"task {name} is not configured any more: its {count(left, 'sample')} stay stored")


def _teachers(config: Config, before: Mapping[str, TeacherConfig]) -> Iterator[Edit]:
    for name, teacher in config.teachers.items():
        if name in before and (said := differing(before[name].model_dump(), teacher.model_dump(), PRICES)):
            yield Edit(f"teacher {name}: {said}: what was spent stays as it was booked")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A configured plan on a task."""

    plan: PlanConfig
    task: str
    fingerprint: str
    requests: int


class ConfiguredPlans:
    """The configured plans beside the stored ones."""

    def __init__(
        self, connection: Connection, config: Config, given: Input, earlier: EarlierTeachers
    ) -> None:
        self._connection, self._config, self._given, self._earlier = connection, config, given, earlier
        self._stored = stored_plans(connection)
        self._served = ServedRuns.stored(connection, config)
        self._wanted = [
            self._one(plan, task) for plan in config.plans for task in expand(plan.tasks, list(config.tasks))
        ]

    @property
    def counts(self) -> list[PlanCounts]:
        """The configured plans, for the rule of what a student reads."""
        nothing = {"wanted": 0, "stored": 0, "accepted": 0, "failed": 0, "skipped": 0}
        return [
            PlanCounts(
                id=place,
                name=each.plan.name,
                task=each.task,
                split=each.plan.split,
                hinted=STRATEGIES[each.plan.strategy].hinted,
                by_name=only_by_name(each.plan, self._config),
                fingerprint=each.fingerprint,
                **nothing,
            )
            for place, each in enumerate(self._wanted)
        ]

    def edits(self) -> Iterator[Edit]:
        """What becomes of each plan's samples."""
        names: set[tuple[str, str, str]] = {
            (each.plan.name, each.task, each.plan.split) for each in self._wanted
        }
        asked = {(each.task, each.plan.split, each.fingerprint) for each in self._wanted}
        for each in self._wanted:
            yield from self._edit(each, names)
        for plan in self._stored:
            shared = (plan.task, plan.split, plan.fingerprint) in asked
            if (
                plan.active
                and plan.stored
                and plan.task in self._config.tasks
                and (plan.name, plan.task, plan.split) not in names
                and not shared
            ):
                yield Edit(
                    f"plan {plan.name} on {plan.task} ({plan.split}) is not configured any more: its {count(plan.stored, 'sample')} stay stored"
                )

    def _edit(self, each: _Wanted, names: set[tuple[str, str, str]]) -> Iterator[Edit]:
        plan, about = each.plan, f"plan {each.plan.name} on {each.task}"
        here = [row for row in self._stored if (row.task, row.split) == (each.task, plan.split)]
        same = [row for row in here if row.fingerprint == each.fingerprint]
        own = next((row for row in same if row.name == plan.name), None)
        if own is not None:
            if plan.most < own.rationales and (beyond := samples_beyond(self._connection, own.id, plan.most)):
                yield Edit(
                    f"{about}: {own.rationales} rationales were asked for and {plan.most} are: {count(beyond, 'sample')} beyond that {'stays' if beyond == 1 else 'stay'}"
                    f" stored, but no longer count{'s' if beyond == 1 else ''}"
                )
            elif plan.most > own.rationales:
                more = (plan.most - own.rationales) * self._given.tasks[each.task].sizes[plan.split]
                yield Edit(f"{about}: up to {count(more, 'further sample')} are asked for")
            return
        if shared := next((row for row in same if row.stored), None):
            if (shared.name, each.task, plan.split) not in names:
                yield Edit(
                    f"{about} goes on with the {count(shared.stored, 'sample')} of plan {shared.name}: nothing is asked again"
                )
            return
        former = sorted(
            (row for row in here if row.name == plan.name and row.stored), key=lambda row: not row.active
        )
        if not former:
            return
        kept, left = self._kept(each, former[0])
        why = self._why(each, former[0])
        if kept:
            text = f"{count(kept, 'sample')} of teachers that stay are kept"
            text += f", {are(left, 'sample')} set aside" if left else ""
            yield Edit(f"{about} has other teachers{why}: {text}", told=True)
            return
        yield Edit(
            f"{about} begins anew{why}: {are(former[0].stored, 'sample')} set aside, {count(each.requests, 'request')}"
            f"{self._cost(each, former[0])}"
        )

    def _one(self, plan: PlanConfig, task: str) -> _Wanted:
        config = self._config
        answer, wording = config.tasks[task].answer, self._given.wordings.get((plan.name, task), PLAIN)
        turns = len(templates(plan, answer, wording))
        size = self._given.tasks[task].sizes[plan.split]
        return _Wanted(
            plan,
            task,
            self._served.fingerprint(plan, task, self._given.wordings)(self._asked(plan)),
            size * math.ceil(plan.base / plan.per_request) * turns,
        )

    def _asked(self, plan: PlanConfig) -> list[TeacherConfig]:
        return models_asked(plan, teachers_of(plan, self._config.teachers), self._config.teachers)

    def _kept(self, each: _Wanted, former: StoredPlan) -> tuple[int, int]:
        """How many samples of a former plan are kept, and how many are not."""
        if each.plan.panel:  # they answer to what the others said
            return 0, former.stored
        counts, stay = samples_that_stay(
            self._connection,
            former.id,
            self._asked(each.plan),
            self._served.fingerprint(each.plan, each.task, self._given.wordings),
            self._earlier,
        )
        kept = sum(counts[name] for name in stay)
        return kept, sum(counts.values()) - kept

    def _why(self, each: _Wanted, former: StoredPlan) -> str:
        """What differs from a former plan, in brackets."""
        plan = each.plan
        names = fields_marked(PlanConfig, Identity.ALWAYS, Identity.IF_SET, Identity.BY_CONTENT)
        said = [
            differing(
                former.settings,
                plan.model_dump(mode="json"),
                [name for name in names if name not in ("tasks", "teachers")],
            )
        ]
        before = self._earlier.sessions[0]
        now = {name: self._config.teachers[name].model for name in teachers_of(plan, self._config.teachers)}
        said += [
            f"model of {name} was {before[name].model} and is {model}"
            for name, model in now.items()
            if name in before and before[name].model != model
        ]
        run, asked = self._served.of(plan, each.task), former.settings.get("served")
        if run is not None and asked not in (None, run.id):
            said.append(f"run {asked} of {run.student} was asked and run {run.id} is")
        text = ", ".join(filter(None, said))
        return f" ({text})" if text else ""

    def _cost(self, each: _Wanted, former: StoredPlan) -> str:
        """About what the samples cost, if they are as long as the former ones."""
        prompt, completion = tokens_of_a_sample(self._connection, former.id)
        names = [*teachers_of(each.plan, self._config.teachers), *each.plan.fallback_teachers]
        prices = [price_of(self._config.teachers[name]) for name in names]
        samples = each.plan.base * self._given.tasks[each.task].sizes[each.plan.split]
        dollars = [samples * (prompt * price.input + completion * price.output) / 1e6 for price in prices]
        return f", about {money(sum(dollars) / len(dollars), None)}" if sum(dollars) else ""
