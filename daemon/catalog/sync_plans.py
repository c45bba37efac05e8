"""Updates the plans' rows to match the configuration: rows first, then what they keep of former ones, then counters."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlmodel import Session

from daemon.catalog.changed_teachers import EarlierTeachers, keep_samples
from daemon.catalog.plan_fingerprint import panel_fingerprint
from daemon.catalog.prompt_preview import templates
from daemon.catalog.prompt_templates import Wordings
from daemon.catalog.served_runs import ServedRuns
from daemon.events import Event, PlanContinued
from daemon.sampling.plan_state import PlanState
from daemon.sampling.plans import ActivePlan
from engine.config import Config, PlanConfig, TeacherConfig
from engine.config.named import expand, teachers_of
from engine.config.panels import models_asked
from engine.config.served import only_by_name
from engine.config.wordings import rounds
from engine.strategies import PLAIN, STRATEGIES, Wording
from engine.tasks import TaskSummary
from engine.teachers.tokens import LONGEST_TOKEN
from state.catalog import PlanRow, adopt_open, over, reconcile, settle_recipe, shared_out, sync_plan
from state.orm import driver_connection
from state.tables import Plan as PlanTable
from state.wordings import searches


@dataclass(kw_only=True, slots=True)
class _SyncedPlan:
    """A plan on one task whose row is in `state.db`."""

    plan: PlanConfig
    task: str
    wording: Wording
    row: PlanTable
    recount: bool
    fingerprint: Callable[[Sequence[TeacherConfig]], str]
    needs: int | None
    served: int | None
    waits_for: str
    written: int
    """The most tokens of a text that it scores."""


def sync_plans(
    opened: Session,
    config: Config,
    tasks: Mapping[str, TaskSummary],
    wordings: Wordings,
    task_ids: dict[str, int],
    *,
    recount: set[str],
    in_hand: Collection[int],
    earlier: EarlierTeachers,
) -> tuple[list[ActivePlan], list[Event], dict[int, str]]:
    """The plans at work, events to emit, and the fingerprints that others' samples have from now on, by their id."""
    synced: list[_SyncedPlan] = []
    served = ServedRuns.stored(driver_connection(opened), config)
    for plan in config.plans:
        names, fallbacks = teachers_of(plan, config.teachers), plan.fallback_teachers
        for task in expand(plan.tasks, list(config.tasks)):
            wording = wordings.get((plan.name, task), PLAIN)
            fingerprint, run = served.fingerprint(plan, task, wordings), served.of(plan, task)
            models = models_asked(plan, names, config.teachers)
            recipe = fingerprint(models)
            first, scored = (
                next((each for each in synced if (each.plan.name, each.task) == (name, task)), None)
                for name in (plan.needs, plan.scores)
            )
            waits_for = served.waits_for(plan, task)
            wanted = PlanRow(
                name=plan.name,
                task_id=task_ids[task],
                split=plan.split,
                recipe=recipe,
                teachers=[*names, *fallbacks],
                strategy=plan.strategy,
                settings={
                    **plan.model_dump(mode="json"),
                    **({"wording": wording.stored} if wording != PLAIN else {}),
                    **({"panel": list(plan.panel)} if plan.panel else {}),
                    **({"served": run.id} if run else {}),
                    **({"waits": True} if waits_for else {}),
                    **({"scores": scored.row.recipe} if scored else {}),
                    **_search(plan, tasks[task].sizes[plan.split]),
                    "facts": {
                        **STRATEGIES[plan.strategy].stored_facts,
                        **({"by_name": True} if only_by_name(plan, config) else {}),
                    },
                    "templates": templates(plan, config.tasks[task].answer, wording),
                },
                rationales=plan.most,
                weight=plan.weight,
                base=plan.base,
                want=plan.want,
                target=plan.correct_per_task or 0,
                together=plan.per_request,
                unless=first.row.recipe if first else "",
                panel=panel_fingerprint(
                    plan, served.asked(plan, task, models), config.tasks[task].answer, wording
                ),
                member=plan.seat.member if plan.seat else 0,
            )
            settle_recipe(opened, wanted)
            row, changed = sync_plan(opened, wanted, tasks[task].sizes[plan.split])
            synced.append(
                _SyncedPlan(
                    plan=plan,
                    task=task,
                    wording=wording,
                    row=row,
                    recount=changed or task in recount,
                    fingerprint=fingerprint,
                    needs=before.row.id if (before := first or scored) else None,
                    written=scored.plan.max_tokens + scored.plan.answer_max_tokens if scored else 0,
                    served=run.id if run else None,
                    waits_for=waits_for,
                )
            )
    news: list[Event] = []
    continued: dict[int, str] = {}
    for each in synced:
        if each.plan.panel:
            continue  # another member makes it another panel: all begin anew
        asked = [config.teachers[name] for name in json.loads(each.row.teachers)]
        for kept in keep_samples(opened, each.row, asked, each.fingerprint, earlier, in_hand=in_hand):
            for other in synced:  # they share what was moved
                other.recount |= (other.task, other.row.split, other.row.recipe) == (
                    *(each.task, each.row.split, each.row.recipe),
                )
            continued |= dict.fromkeys(kept.former, each.row.recipe)
            news.append(PlanContinued(plan=each.plan.name, task=each.task, kept=kept.kept, left=kept.left))
    undecided = _ask_wordings(opened, synced)
    active: list[ActivePlan] = []
    for each in synced:
        if each.recount:
            reconcile(opened, each.row)
        exhausted = over(opened, each.row)
        ready = _active(each, config, tasks[each.task], exhausted, shared_out(opened, each.row))
        ready.undecided = ready.id in undecided
        active.append(ready)
    for ready in active:
        adopt_open(opened, ready.id, but=in_hand)
    return active, news, continued


def _search(plan: PlanConfig, questions: int) -> dict[str, object]:
    """What a plan that tries a wording stores of it."""
    tried = plan.candidate
    if tried is None:
        return {}
    limits = rounds(questions, tried.candidates - 1)
    return {"search": {"of": tried.of, "wording": tried.wording, "place": tried.place, "rounds": limits}}


def _ask_wordings(opened: Session, synced: Sequence[_SyncedPlan]) -> set[int]:
    """Sets how many questions each wording that is tried is asked; returns the plans that may be asked more later."""
    rows = {each.row.id: each for each in synced if each.plan.candidate}
    undecided: set[int] = set()
    for search in searches(driver_connection(opened)) if rows else ():
        for plan_id, limit in search.limits.items():
            rows[plan_id].row.questions, rows[plan_id].recount = limit, True
        undecided.update(search.undecided)
    return undecided


def _active(
    synced: _SyncedPlan, config: Config, brief: TaskSummary, exhausted: bool, shared: bool
) -> ActivePlan:
    plan, row = synced.plan, synced.row
    assert row.id is not None
    return ActivePlan(
        id=row.id,
        config=plan,
        task=synced.task,
        task_id=row.task_id,
        answer_format=config.tasks[synced.task].answer,
        recipe=row.recipe,
        teachers=tuple(teachers_of(plan, config.teachers)),
        fallbacks=tuple(plan.fallback_teachers),
        wanted=row.wanted,
        longest=brief.longest[plan.split] + LONGEST_TOKEN * synced.written,
        gold=brief.golds.get(plan.split, ""),
        wording=synced.wording,
        needs=synced.needs,
        labelled=config.tasks[synced.task].labelled,
        panel=row.panel,
        member=row.member,
        served=synced.served,
        waits_for=synced.waits_for,
        state=PlanState(exhausted=exhausted, shared=shared),
    )
