"""Which run of a student a plan asks: the newest finished one when the plan begins, and that one from then on.

The run is part of the plan's fingerprint, so samples of different weights are never mixed. A plan that has begun stays with its
run while newer runs have the same settings. After a run with other settings it begins anew with that one, as after a change of
any model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from daemon.catalog.plan_fingerprint import plan_fingerprint
from daemon.catalog.prompt_templates import Wordings
from engine.config import Config, PlanConfig, TeacherConfig
from engine.config.named import teachers_of
from engine.config.panels import models_asked
from engine.config.served import scope_for, student_of
from engine.strategies import PLAIN
from state.catalog import runs_asked
from state.enums import RunState
from state.runs import StoredRun, stored_runs
from state.sqlite import Connection

ENDED_BADLY = (RunState.FAILED, RunState.STOPPED)


@dataclass(frozen=True, slots=True)
class ServedRun:
    """A run whose student is asked."""

    id: int
    student: str
    digest: str
    """Of its manifest."""

    def asked(self, teacher: TeacherConfig) -> TeacherConfig:
        """The teacher as fingerprints see it: its model is the student of this run."""
        if teacher.student != self.student:
            return teacher
        return teacher.model_copy(update={"model": f"{self.student} run {self.id} {self.digest}"})


class ServedRuns:
    """The runs that the plans of a configuration ask."""

    def __init__(
        self,
        config: Config,
        runs: Sequence[StoredRun] = (),
        begun: Mapping[tuple[str, str, str], int] | None = None,
    ) -> None:
        """Reads nothing.

        Args:
            config: the configuration.
            runs: all runs, oldest first.
            begun: the run that each plan with samples asks, by plan, task and split.
        """
        self._config = config
        self._runs = runs
        self._begun = begun or {}

    @classmethod
    def stored(cls, connection: Connection, config: Config) -> ServedRuns:
        """As the database has them."""
        if not any(teacher.student for teacher in config.teachers.values()):
            return cls(config)
        return cls(config, stored_runs(connection), runs_asked(connection))

    def of(self, plan: PlanConfig, task: str) -> ServedRun | None:
        """The run that a plan asks on a task; None: it asks no student, or the run that it waits for is not there."""
        return self._served(plan, task, student_of(plan, self._config))

    def asked(self, plan: PlanConfig, task: str, teachers: Sequence[TeacherConfig]) -> list[TeacherConfig]:
        """The teachers as fingerprints see them: the model of a student is that of the run that is asked."""
        found = []
        for each in teachers:
            run = self._served(plan, task, each.student) if each.student else None
            found.append(run.asked(each) if run else each)
        return found

    def waits_for(self, plan: PlanConfig, task: str) -> str:
        """What a plan waits for; empty: it can begin."""
        if scored := next((each for each in self._config.plans if each.name == plan.scores), None):
            if waits := self.waits_for(scored, task):
                return waits
        names = plan.panel or tuple(teachers_of(plan, self._config.teachers)[:1])
        for student in dict.fromkeys(self._config.teachers[name].student for name in names):
            if isinstance(found := self._found(plan, task, student), str) and found:
                return found
        return ""

    def fingerprint(
        self, plan: PlanConfig, task: str, wordings: Wordings
    ) -> Callable[[Sequence[TeacherConfig]], str]:
        """The fingerprint that a plan has on a task with these teachers, of which a student is that of the run it asks."""
        config = self._config
        wording, scores = wordings.get((plan.name, task), PLAIN), ""
        if scored := next((each for each in config.plans if each.name == plan.scores), None):
            models = models_asked(scored, teachers_of(scored, config.teachers), config.teachers)
            scores = self.fingerprint(scored, task, wordings)(models)

        def taken(teachers: Sequence[TeacherConfig]) -> str:
            asked = self.asked(plan, task, teachers)
            return plan_fingerprint(plan, asked, config.tasks[task].answer, wording, scores)

        return taken

    def _served(self, plan: PlanConfig, task: str, student: str) -> ServedRun | None:
        found = self._found(plan, task, student)
        return ServedRun(found.id, found.name, found.digest) if isinstance(found, StoredRun) else None

    def _found(self, plan: PlanConfig, task: str, student: str) -> StoredRun | str:
        """The run of a student that a plan, or its panel, asks; or what is waited for; empty: it asks no student."""
        if not student:
            return ""
        if plan.panel and student_of(plan, self._config) != student:
            plan = next(each for each in self._panel(plan) if student_of(each, self._config) == student)
        needed = next((each for each in self._config.plans if each.name == plan.needs), None)
        if needed is not None and student_of(needed, self._config) == student:
            return self._found(needed, task, student)  # what failed is asked of the same weights again
        scope = scope_for(student, task, self._config)
        own = [run for run in self._runs if (run.name, run.scope) == (student, scope)]
        begun = self._begun.get((plan.name, task, plan.split))
        former = next((run for run in own if run.id == begun and run.state not in ENDED_BADLY), None)
        newest = next((run for run in reversed(own) if self._counts(run)), None)
        if former is not None and (newest is None or newest.fingerprint == former.fingerprint):
            return former
        coming = [run for run in own if run.state not in (RunState.DONE, *ENDED_BADLY)]
        if coming:
            return former or f"student {student}: run {coming[-1].id} on {scope} has not ended"
        return newest or f"student {student}: it has no finished run on {scope}"

    def _panel(self, plan: PlanConfig) -> list[PlanConfig]:
        """The plans of a panel's members."""
        of = plan.name.removesuffix(f".{plan.teachers[0]}")
        return [
            each
            for each in self._config.plans
            if each.panel == plan.panel and each.name.removesuffix(f".{each.teachers[0]}") == of
        ]

    def _counts(self, run: StoredRun) -> bool:
        """Whether a plan can begin with a run: of a student that is trained on everything in the end, not with an earlier one."""
        config = next((each for each in self._config.students if each.name == run.name), None)
        early = config is not None and "complete" in config.train_at and run.trigger.isdecimal()
        return run.state == RunState.DONE and not early
