"""What an edited configuration does to what is stored: kept, graded again, set aside, bought, trained.

The configuration is compared with the database. `coterie check` says it before a start; a start and a reload say it in
events. Only reads.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from daemon.catalog.changed_teachers import EarlierTeachers, samples_that_stay
from daemon.catalog.prompt_preview import templates
from daemon.catalog.served_runs import ServedRuns
from daemon.catalog.sync import Input
from daemon.events import Event, Noted
from daemon.sampling.token_accounting import price_of
from daemon.training.lineage import Sources, base_source, sources_now
from daemon.training.run_fingerprint import Settled, asked_otherwise, renamed, settled
from daemon.training.scopes import Scope, all_scopes
from engine.config import Config, PlanConfig, TeacherConfig
from engine.config.ancestors import scopes_by_student
from engine.config.base import Identity, fields_marked
from engine.config.panels import models_asked
from engine.config.prices import PRICES
from engine.config.root import expand, teachers_of
from engine.config.served import only_by_name
from engine.methods import METHODS
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
from state.enums import RunState
from state.errors import StateMissing
from state.migrations import VERSION
from state.runs import StoredRun, stored_runs
from state.sqlite import Connection
from state.triggers import PlanCounts
from state.views.format import money


@dataclass(frozen=True, slots=True)
class Edit:
    """A consequence of an edit. `told`: another event says it once it has happened."""

    text: str
    told: bool = False


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
    return [*found, *plans.edits(), *_students(connection, config, given, plans.counts)]


def _tasks(connection: Connection, config: Config, given: Input) -> Iterator[Edit]:
    known = read_known(connection)
    for name, task in given.tasks.items():
        if name not in known:
            continue
        before, now = known[name].answer_format, config.tasks[name].answer
        if before != now:
            samples = _count(samples_of_task(connection, name), "stored sample")
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
            f"{_count(edited.gone, 'question')} gone ({_count(edited.gone_samples, 'sample')} set aside)"
            if edited.gone
            else "",
            f"{edited.new:,} new" if edited.new else "",
            f"{edited.regold:,} with another gold answer ({_count(edited.regold_samples, 'sample')} graded again)"
            if edited.regold
            else "",
            f"{edited.moved:,} in another split ({_count(edited.moved_samples, 'sample')} moved with them)"
            if edited.moved
            else "",
        ]
        if any(said):
            yield Edit(f"task {name}: other questions: {', '.join(filter(None, said))}")
    for name in active_tasks(connection):
        if name not in config.tasks and (left := samples_of_task(connection, name)):
            yield Edit(f"task {name} is not configured any more: its {_count(left, 'sample')} stay stored")


def _teachers(config: Config, before: Mapping[str, TeacherConfig]) -> Iterator[Edit]:
    for name, teacher in config.teachers.items():
        if name in before and (said := _differing(before[name].model_dump(), teacher.model_dump(), PRICES)):
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
                    f"plan {plan.name} on {plan.task} ({plan.split}) is not configured any more: its {_count(plan.stored, 'sample')} stay stored"
                )

    def _edit(self, each: _Wanted, names: set[tuple[str, str, str]]) -> Iterator[Edit]:
        plan, about = each.plan, f"plan {each.plan.name} on {each.task}"
        here = [row for row in self._stored if (row.task, row.split) == (each.task, plan.split)]
        same = [row for row in here if row.fingerprint == each.fingerprint]
        own = next((row for row in same if row.name == plan.name), None)
        if own is not None:
            if plan.most < own.rationales and (beyond := samples_beyond(self._connection, own.id, plan.most)):
                yield Edit(
                    f"{about}: {own.rationales} rationales were asked for and {plan.most} are: {_count(beyond, 'sample')} beyond that {'stays' if beyond == 1 else 'stay'}"
                    f" stored, but no longer count{'s' if beyond == 1 else ''}"
                )
            elif plan.most > own.rationales:
                more = (plan.most - own.rationales) * self._given.tasks[each.task].sizes[plan.split]
                yield Edit(f"{about}: up to {_count(more, 'further sample')} are asked for")
            return
        if shared := next((row for row in same if row.stored), None):
            if (shared.name, each.task, plan.split) not in names:
                yield Edit(
                    f"{about} goes on with the {_count(shared.stored, 'sample')} of plan {shared.name}: nothing is asked again"
                )
            return
        former = sorted(
            (row for row in here if row.name == plan.name and row.stored), key=lambda row: not row.active
        )
        if not former:
            return
        kept, left = self._kept(each, former[0])
        why = self._why(plan, former[0])
        if kept:
            text = f"{_count(kept, 'sample')} of teachers that stay are kept"
            text += f", {_are(left, 'sample')} set aside" if left else ""
            yield Edit(f"{about} has other teachers{why}: {text}", told=True)
            return
        yield Edit(
            f"{about} begins anew{why}: {_are(former[0].stored, 'sample')} set aside, {_count(each.requests, 'request')}"
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

    def _why(self, plan: PlanConfig, former: StoredPlan) -> str:
        """What differs from a former plan, in brackets."""
        names = fields_marked(PlanConfig, Identity.ALWAYS, Identity.IF_SET, Identity.BY_CONTENT)
        said = [
            _differing(
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


@dataclass(frozen=True, slots=True)
class Recipe:
    """The fingerprint of a configured plan."""

    recipe: str


def own_runs(
    config: Config, given: Input, plans: Sequence[PlanCounts], runs: Sequence[StoredRun]
) -> list[tuple[tuple[str, str], Settled]]:
    """The runs of each student on each task, as it is configured, among the stored ones of its name."""
    keys = [(name, scope) for name, found in scopes_by_student(config).items() for scope in found]
    return [
        (
            scope.key,
            _settled(
                scope,
                given,
                plans,
                [run for run in runs if (run.name, run.scope) == scope.key],
                _sources(scope, keys, runs),
            ),
        )
        for scope in all_scopes(config)
    ]


def _settled(
    scope: Scope, given: Input, counts: Sequence[PlanCounts], among: Sequence[StoredRun], sources: Sources
) -> Settled:
    plans = [Recipe(plan.fingerprint) for plan in scope.rule.read(counts, scope.tasks)]
    digests = [given.tasks[task].digest for task in scope.tasks]
    return settled(scope.student, plans, digests, among, sources=sources.identities)


def _sources(scope: Scope, keys: Sequence[tuple[str, str]], runs: Sequence[StoredRun]) -> Sources:
    return sources_now(base_source(scope.student.base, scope.name, keys), runs)


def _students(
    connection: Connection, config: Config, given: Input, counts: Sequence[PlanCounts]
) -> Iterator[Edit]:
    runs = now_called = stored_runs(connection)
    scopes = all_scopes(config)
    keys = [(name, scope) for name, found in scopes_by_student(config).items() for scope in found]

    def stays(place: int, run: StoredRun) -> bool:
        sources = _sources(scopes[place], keys, now_called)
        return bool(_settled(scopes[place], given, counts, [run], sources).runs)

    taken: dict[int, str] = {}
    found = True
    while found:  # whoever starts from a student with another name is known again only after it
        known = own_runs(config, given, counts, now_called)
        more = renamed(known, now_called, stays)
        taken |= more
        now_called = [replace(run, name=taken.get(run.id, run.name)) for run in runs]
        found = bool(more)
    for run in runs:
        if run.id in taken:
            yield Edit(
                f"run {run.id} of {run.name} on {run.scope} is one of {taken[run.id]}: nothing is trained again",
                told=True,
            )
    anew: set[str] = set()
    for scope, (key, now) in zip(scopes, known, strict=True):
        about = f"student {key[0]} on {key[1]}"
        for run in now.runs:
            differ = asked_otherwise(now.student, run)
            if differ and run.state == RunState.DONE and METHODS[now.student.method].trains:
                said = ", ".join(
                    f"{name} was {was} and is {wanted}" for name, (was, wanted) in differ.items()
                )
                yield Edit(
                    f"{about}: run {run.id} is evaluated again ({said}); nothing is trained", told=True
                )
        former = [run for run in runs if (run.name, run.scope) == key and run.id not in taken and run.rows]
        source = next((each for each in scope.source_students if each in anew), None)
        if former and source is not None:
            anew.add(key[0])
            yield Edit(f"{about} is trained again once {source} is, which it starts from")
        elif (
            former
            and not now.runs
            and not _sources(scope, keys, now_called).waits
            and key[0] not in {taken[run.id] for run in runs if run.id in taken and run.scope == key[1]}
        ):
            anew.add(key[0])
            why = _why_another(former[-1].student, scope.student.model_dump(mode="json"))
            stay = "1 run stays as it is" if len(former) == 1 else f"{len(former):,} runs stay as they are"
            yield Edit(
                f"{about} is another student now ({why}): {stay}, and the student is trained when its next trigger fires"
            )


def _why_another(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    parts = [
        _differing(
            before,
            now,
            [
                name
                for name in now
                if not isinstance(now[name], dict) and name not in ("name", "preset", "train_at", "priority")
            ],
        )
    ]
    for section in ("curation", "training", "evaluation"):
        old = before.get(section)
        if isinstance(old, Mapping):
            parts.append(_differing(old, now[section], list(old)))
    return ", ".join(filter(None, parts)) or "its questions, or what its plans ask, changed"


def _differing(before: Mapping[str, Any], now: Mapping[str, Any], names: Sequence[str]) -> str:
    """`temperature was 0.7 and is 0.1`, for those that differ."""
    return ", ".join(
        f"{name} was {_said(before[name])} and is {_said(now[name])}"
        for name in names
        if name in before and name in now and before[name] != now[name]
    )


def _said(value: object) -> str:
    text = "unset" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _are(number: int, noun: str) -> str:
    return f"{_count(number, noun)} {'is' if number == 1 else 'are'}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
