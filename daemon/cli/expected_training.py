"""Which runs are still to be trained, and how long runs of the same student took."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from daemon.catalog.changed_teachers import EarlierTeachers
from daemon.catalog.sync import Input
from daemon.training.edited_plans import ConfiguredPlans
from daemon.training.edited_students import own_runs
from daemon.training.scopes import all_scopes
from engine.config import Config
from engine.methods import METHODS
from state.database import open_reader, schema_version
from state.errors import StateMissing
from state.estimates import RunTime, run_times
from state.migrations import VERSION
from state.runs import stored_runs


@dataclass(frozen=True, slots=True)
class ExpectedTraining:
    """A student on a task that is still to be trained."""

    student: str
    scope: str
    triggers: tuple[str, ...]
    """Of runs to come."""
    trains: bool
    like: RunTime | None
    """A finished run of the same student, on the same task if there is one."""

    @property
    def seconds(self) -> float | None:
        """As long as that run took; None where none has finished."""
        return self.like.seconds * len(self.triggers) if self.like is not None else None


def expected_training(config: Config, given: Input) -> list[ExpectedTraining]:
    """The runs to come."""
    scopes = all_scopes(config)
    made: dict[tuple[str, str], set[str]] = {}
    times: list[RunTime] = []
    try:
        with closing(open_reader(config.database)) as connection:
            if schema_version(connection) == VERSION:
                times = run_times(connection)
                plans = ConfiguredPlans(connection, config, given, EarlierTeachers.stored(connection)).counts
                for key, settled in own_runs(config, given, plans, stored_runs(connection)):
                    made[key] = {run.trigger for run in settled.runs}
    except StateMissing:
        pass
    found = []
    for scope in scopes:
        left = tuple(
            trigger.name
            for trigger in scope.student.triggers
            if not trigger.repeats and trigger.name not in made.get(scope.key, ())
        )
        if left:
            of_student = [each for each in times if each.student == scope.student.name]
            of_scope = [each for each in of_student if each.scope == scope.name]
            like = next(iter([*of_scope, *of_student]), None)
            trains = METHODS[scope.student.method].trains
            found.append(ExpectedTraining(*scope.key, left, trains, like))
    return found
