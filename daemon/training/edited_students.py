"""What an edited configuration does to the runs of each student: its own, evaluated again, or those of another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from daemon.catalog.sync import Input
from daemon.training.edit_words import Edit, differing
from daemon.training.lineage import Sources, base_source, sources_now
from daemon.training.run_fingerprint import Settled, asked_otherwise, renamed, settled
from daemon.training.scopes import Scope, all_scopes
from engine.config import Config
from engine.config.ancestors import scopes_by_student
from engine.methods import METHODS
from state.enums import RunState
from state.runs import StoredRun, stored_runs
from state.sqlite import Connection
from state.triggers import PlanCounts


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


def student_edits(
    connection: Connection, config: Config, given: Input, counts: Sequence[PlanCounts]
) -> Iterator[Edit]:
    """What becomes of each student's runs; `counts` are the configured plans."""
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
