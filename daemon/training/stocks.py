"""What there is for each student: its samples, the runs it comes from and the runs it has. Only reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from daemon.sampling.plans import ActivePlan
from daemon.training.lineage import Sources, base_source, sources_now
from daemon.training.run_directory import own_directory
from daemon.training.run_fingerprint import Settled, evaluated_now, renamed, settled
from daemon.training.scopes import Scope
from engine.config import Config
from state.database import open_reader
from state.runs import RunRequeue, StoredRun, run_by_id, stored_runs, task_digests
from state.sqlite import Connection
from state.triggers import PlanCounts, Stock, first_start, last_runs, plan_counts


@dataclass(frozen=True, slots=True)
class ScopeStock:
    """What there is for a scope."""

    scope: Scope
    """With the form of its student, where that is known."""
    stock: Stock
    runs: tuple[StoredRun, ...]
    """Those of the same student, oldest first."""
    sources: Sources
    """The runs whose students it starts from."""


@dataclass(frozen=True, slots=True)
class _Facts:
    """What `state.db` says of plans, tasks and runs."""

    counts: Sequence[PlanCounts]
    digests: Mapping[str, str]
    runs: Sequence[StoredRun]


class Stocks:
    """Reads what there is for the scopes of a configuration. `derived`: name and scope of derived students."""

    def __init__(
        self,
        config: Config,
        plans: Sequence[ActivePlan],
        scopes: Sequence[Scope],
        derived: Sequence[tuple[str, str]],
    ) -> None:
        self._config = config
        self._plans = plans
        self._scopes = scopes
        self._keys = [*(scope.key for scope in scopes), *derived]

    def of(self, scopes: Sequence[Scope]) -> list[ScopeStock]:
        """What there is for each of these scopes."""
        with closing(open_reader(self._config.database)) as connection:
            facts, last, since = self._facts(connection), last_runs(connection), first_start(connection)
        found = []
        for scope in scopes:
            sources = self._sources(scope, facts)
            now = self._settled(scope, facts, facts.runs)
            stock = scope.rule.stock(
                scope.rule.read(facts.counts, scope.tasks),
                since=since,
                last=last.get(scope.key),
                complete=all(plan.done for plan in self._read_plans(scope, facts)),
                fingerprint=now.fingerprint,
                runs=frozenset(run.trigger for run in now.runs),
            )
            found.append(ScopeStock(replace(scope, student=now.student), stock, now.runs, sources))
        return found

    def renamed(self) -> list[tuple[StoredRun, str]]:
        """The runs of students that have another name now, with that name."""
        with closing(open_reader(self._config.database)) as connection:
            facts = self._facts(connection)
        scopes, runs = self._scopes, facts.runs
        known = [(scope.key, self._settled(scope, facts, runs)) for scope in scopes]
        found = renamed(
            known,
            runs,
            lambda place, run: bool(self._settled(scopes[place], facts, [run], any_name=True).runs),
        )
        return [(run, found[run.id]) for run in runs if run.id in found]

    def with_evaluation(self, scope: Scope, run: StoredRun) -> RunRequeue | None:
        """Queues a finished run with the evaluation of now; None where it has no student."""
        with closing(open_reader(self._config.database)) as connection:
            row, facts = run_by_id(connection, run.id), self._facts(connection)
            directory = own_directory(connection, self._config, row) if row else None
        if row is None or directory is None or not (directory / "student").is_dir():
            return None
        evaluation = scope.student.evaluation.model_dump(mode="json")
        return RunRequeue(
            run_id=run.id,
            tries=0,
            settings=replace(row.settings, student={**row.settings.student, "evaluation": evaluation}),
            fingerprint=evaluated_now(
                scope.student,
                self._read_plans(scope, facts),
                [facts.digests.get(task, "") for task in scope.tasks],
                run,
                sources=self._sources(scope, facts).identities,
            ),
        )

    def _facts(self, connection: Connection) -> _Facts:
        return _Facts(
            plan_counts(connection, [plan.id for plan in self._plans]),
            task_digests(connection),
            stored_runs(connection),
        )

    def _sources(self, scope: Scope, facts: _Facts) -> Sources:
        return sources_now(base_source(scope.student.base, scope.name, self._keys), facts.runs)

    def _read_plans(self, scope: Scope, facts: _Facts) -> list[ActivePlan]:
        chosen = {plan.id for plan in scope.rule.read(facts.counts, scope.tasks)}
        return [plan for plan in self._plans if plan.id in chosen]

    def _settled(
        self, scope: Scope, facts: _Facts, runs: Sequence[StoredRun], *, any_name: bool = False
    ) -> Settled:
        """The student of a scope with its runs among `runs`; with `any_name` also those made under another name."""
        return settled(
            scope.student,
            self._read_plans(scope, facts),
            [facts.digests.get(task, "") for task in scope.tasks],
            [run for run in runs if run.scope == scope.name and (any_name or run.name == scope.student.name)],
            sources=self._sources(scope, facts).identities,
        )
