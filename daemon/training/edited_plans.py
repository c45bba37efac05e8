"""What an edited configuration does to the samples of each plan: kept, asked for, set aside."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from daemon.catalog.changed_teachers import EarlierTeachers, samples_that_stay
from daemon.catalog.prompt_preview import templates
from daemon.catalog.served_runs import ServedRuns
from daemon.catalog.sync import Input
from daemon.sampling.token_accounting import price_of
from daemon.training.edit_words import Edit, are, differing
from engine.config import Config, PlanConfig, TeacherConfig
from engine.config.base import Identity, fields_marked
from engine.config.named import expand, teachers_of
from engine.config.panels import models_asked
from engine.config.served import only_by_name
from engine.strategies import PLAIN, STRATEGIES
from state.edits import (
    StoredPlan,
    samples_beyond,
    stored_plans,
    tokens_of_a_sample,
)
from state.sqlite import Connection
from state.triggers import PlanCounts
from state.views.format import counted, money


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
                    f"plan {plan.name} on {plan.task} ({plan.split}) is not configured any more: its {counted(plan.stored, 'sample')} {'stays' if plan.stored == 1 else 'stay'} stored"
                )

    def _edit(self, each: _Wanted, names: set[tuple[str, str, str]]) -> Iterator[Edit]:
        plan, about = each.plan, f"plan {each.plan.name} on {each.task}"
        here = [row for row in self._stored if (row.task, row.split) == (each.task, plan.split)]
        same = [row for row in here if row.fingerprint == each.fingerprint]
        own = next((row for row in same if row.name == plan.name), None)
        if own is not None:
            if plan.most < own.rationales and (beyond := samples_beyond(self._connection, own.id, plan.most)):
                yield Edit(
                    f"{about}: {own.rationales} rationales were asked for and {plan.most} are: {counted(beyond, 'sample')} beyond that {'stays' if beyond == 1 else 'stay'}"
                    f" stored, but no longer count{'s' if beyond == 1 else ''}"
                )
            elif plan.most > own.rationales:
                more = (plan.most - own.rationales) * self._given.tasks[each.task].sizes[plan.split]
                yield Edit(f"{about}: up to {counted(more, 'further sample')} are asked for")
            return
        if shared := next((row for row in same if row.stored), None):
            if (shared.name, each.task, plan.split) not in names:
                yield Edit(
                    f"{about} goes on with the {counted(shared.stored, 'sample')} of plan {shared.name}: nothing is asked again"
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
            text = f"{counted(kept, 'sample')} of teachers that stay are kept"
            text += f", {are(left, 'sample')} set aside" if left else ""
            yield Edit(f"{about} has other teachers{why}: {text}", told=True)
            return
        yield Edit(
            f"{about} begins anew{why}: {are(former[0].stored, 'sample')} set aside, {counted(each.requests, 'request')}"
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
