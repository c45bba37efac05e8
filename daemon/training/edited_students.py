"""What an edited configuration does to the runs of students, trained and derived: kept, renamed, evaluated again, made anew. Only reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from daemon.catalog.sync import Input
from daemon.training.derived import DerivedNow, DerivedScope, derived_now, derived_scopes, evaluated_otherwise
from daemon.training.edit_words import Edit, differing
from daemon.training.lineage import Sources, base_source, sources_now
from daemon.training.run_fingerprint import Settled, asked_otherwise, renamed, settled
from daemon.training.scopes import Scope, all_scopes, order_of
from engine.config import Config
from engine.config.ancestors import scopes_by_student
from engine.config.base import Identity, fields_marked
from engine.config.load import resolved
from engine.config.named import expand
from engine.config.served import student_of
from engine.methods import METHODS
from engine.students.operations import DerivedConfig
from state.edits import stored_plans
from state.enums import RunState
from state.kept_samples import session_configs
from state.runs import StoredRun, stored_runs
from state.sqlite import Connection
from state.triggers import PlanCounts

Key = tuple[str, str]
"""A student and its scope."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The fingerprint of a configured plan."""

    recipe: str


def own_runs(
    config: Config, given: Input, plans: Sequence[PlanCounts], runs: Sequence[StoredRun]
) -> list[tuple[Key, Settled]]:
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


def _sources(scope: Scope, keys: Sequence[Key], runs: Sequence[StoredRun]) -> Sources:
    return sources_now(base_source(scope.student.base, scope.name, keys), runs)


def student_edits(
    connection: Connection, config: Config, given: Input, counts: Sequence[PlanCounts]
) -> Iterator[Edit]:
    """What becomes of all runs, and who is made anew."""
    found = _StudentEdits(config, given, counts, stored_runs(connection))
    yield from found.renames()
    for name in order_of(config):
        yield from found.of(name)
    before = next(iter(session_configs(connection)), "{}")
    yield from found.dropped(json.loads(before))
    yield from found.plans(connection)


class _StudentEdits:
    """The configured students beside the stored runs."""

    def __init__(
        self, config: Config, given: Input, counts: Sequence[PlanCounts], runs: Sequence[StoredRun]
    ) -> None:
        self._config, self._given, self._counts = config, given, counts
        self._stored = runs
        self._runs = list(runs)
        """With the names that they get."""
        self._scopes = all_scopes(config)
        self._derived = [scope for scopes in derived_scopes(config).values() for scope in scopes]
        self._keys = [(name, scope) for name, found in scopes_by_student(config).items() for scope in found]
        self._digests = {name: task.digest for name, task in given.tasks.items()}
        self._taken: dict[int, str] = {}
        self._anew: dict[str, None] = {}
        more = True
        while more:  # whoever comes from a student with another name is known again only after it
            known = own_runs(config, given, counts, self._runs)
            more = self._take(renamed(known, self._runs, self._stays))
        self._known: dict[Key, Settled] = dict(known)

    def _take(self, found: dict[int, str]) -> bool:
        """Gives runs the names that they get; whether there were any."""
        found |= {
            now.renamed.id: scope.config.name
            for scope in self._derived
            if (now := self._now(scope)).renamed is not None and not now.sources.waits
        }
        self._taken |= found
        self._runs = [replace(run, name=self._taken.get(run.id, run.name)) for run in self._stored]
        return bool(found)

    def _stays(self, place: int, run: StoredRun) -> bool:
        scope = self._scopes[place]
        sources = _sources(scope, self._keys, self._runs)
        return bool(_settled(scope, self._given, self._counts, [run], sources).runs)

    def _now(self, scope: DerivedScope) -> DerivedNow:
        return derived_now(self._config, scope, self._runs, self._digests)

    def _former(self, key: Key) -> list[StoredRun]:
        """The runs that were its own under its name."""
        return [run for run in self._stored if (run.name, run.scope) == key and run.id not in self._taken]

    def renames(self) -> Iterator[Edit]:
        """Runs whose student has another name."""
        for run in self._stored:
            if run.id in self._taken:
                text = f"run {run.id} of {run.name} on {run.scope} is one of {self._taken[run.id]}: nothing is {_done(run)} again"
                yield Edit(text, told=True)

    def of(self, name: str) -> Iterator[Edit]:
        """What becomes of the runs of a student."""
        for scope in self._scopes:
            if scope.key[0] == name:
                yield from self._trained(scope)
        for derived in self._derived:
            if derived.key[0] == name:
                yield from self._made(derived)

    def _trained(self, scope: Scope) -> Iterator[Edit]:
        key, now = scope.key, self._known[scope.key]
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
        former = [run for run in self._former(key) if run.rows]
        source = next((each for each in scope.source_students if each in self._anew), None)
        if former and source is not None:
            self._anew[key[0]] = None
            yield Edit(f"{about} is trained again once {source} is, which it starts from")
        elif (
            former
            and not now.runs
            and not _sources(scope, self._keys, self._runs).waits
            and key not in {(self._taken[run.id], run.scope) for run in self._stored if run.id in self._taken}
        ):
            self._anew[key[0]] = None
            why = _why_another(former[-1].student, scope.student.model_dump(mode="json"))
            yield Edit(
                f"{about} is another student now ({why}): {_stay(former)}, and the student is trained when its next trigger fires"
            )

    def _made(self, scope: DerivedScope) -> Iterator[Edit]:
        key, now, former = scope.key, self._now(scope), self._former(scope.key)
        about = f"student {key[0]} on {key[1]}"
        if now.runs and (said := evaluated_otherwise(scope.config, now.runs[-1])):
            yield Edit(
                f"{about}: run {now.runs[-1].id} is evaluated again ({said}); nothing is made", told=True
            )
        source = next((each for each in scope.source_students if each in self._anew), None)
        if not former or (now.runs and source is None):
            return
        why = self._other(scope, former[-1])
        if not why and source is not None:
            self._anew[key[0]] = None
            yield Edit(f"{about} is made again once {source} is, which it is made from")
        elif why or not now.sources.waits:  # else a newer run of a source is on its way, without any edit
            self._anew[key[0]] = None
            why = why or "its questions, or runs that it is made from, are newer"
            waits = f"{source} is made anew" if source else now.sources.waits
            then = f"; before that, {waits}" if waits else ""
            yield Edit(f"{about} is another student now ({why}): {_stay(former)}, and it is made again{then}")

    def _other(self, scope: DerivedScope, run: StoredRun) -> str:
        """What differs from a former run of a derived student: its settings, and the students that it is made from."""
        before, now = run.student.get("derived", {}), scope.config.model_dump(mode="json")
        names = fields_marked(DerivedConfig, Identity.ALWAYS, Identity.IF_SET)
        own = [name for name in now if name in names or name not in DerivedConfig.model_fields]
        parts = [name for name in own if isinstance(now[name], dict) and isinstance(before.get(name), dict)]
        by_id = {each.id: each.name for each in self._runs}
        made_from = [by_id.get(int(text.split()[1]), "?") for text in run.student.get("sources", ())]
        wanted = [source.student for source in scope.sources]
        said = [differing(before, now, [name for name in own if name not in parts])]
        said += [differing(before[name], now[name], list(now[name])) for name in parts]
        said += [f"{name} is added" for name in dict.fromkeys(wanted) if name not in made_from]
        said += [f"{name} is left out" for name in dict.fromkeys(made_from) if name not in wanted]
        return ", ".join(filter(None, said))

    def dropped(self, before: Mapping[str, Any]) -> Iterator[Edit]:
        """Students of the configuration before that are not configured any more, as a whole or on a task."""
        now = resolved(self._config)
        if all(before.get(part) == now[part] for part in ("tasks", "students", "derived")):
            return
        tables = [*(before.get("students") or ()), *(before.get("derived") or ())]
        known = {each.get("name") for each in tables if isinstance(each, Mapping)}
        named = {name for name, _ in self._keys}
        current = {scope.key for scope in self._scopes} | {scope.key for scope in self._derived}
        made = {name for name, _ in current}
        left: dict[str, list[StoredRun]] = {}
        for run in self._stored:
            if run.id in self._taken or run.name not in known or (run.name, run.scope) in current:
                continue
            if run.name not in named:
                said = f"student {run.name} is not configured any more"
            elif run.name not in made:
                said = f"student {run.name} is counted from stored answers now"
            else:
                said = f"student {run.name} is not made on {run.scope} any more"
            left.setdefault(said, []).append(run)
        for said, runs in left.items():
            yield Edit(f"{said}: {_stay(runs)}")

    def plans(self, connection: Connection) -> Iterator[Edit]:
        """Plans that ask a student that is made anew."""
        asked = {(plan.name, plan.task) for plan in stored_plans(connection) if plan.stored and plan.active}
        for plan in self._config.plans:
            student = student_of(plan, self._config)
            for task in expand(plan.tasks, list(self._config.tasks)) if student in self._anew else ():
                if (plan.name, task) in asked:
                    yield Edit(
                        f"plan {plan.name} on {task} begins anew once {student} is there again, which it asks"
                    )


def _done(run: StoredRun) -> str:
    return "trained" if "derived" not in run.student else "made"


def _stay(runs: Sequence[StoredRun]) -> str:
    return "1 run stays as it is" if len(runs) == 1 else f"{len(runs):,} runs stay as they are"


def _why_another(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    parts = [
        differing(
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
            parts.append(differing(old, now[section], list(old)))
    return ", ".join(filter(None, parts)) or "its questions, or what its plans ask, changed"
