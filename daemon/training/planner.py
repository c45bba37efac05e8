"""Makes student runs of triggers that were reached: stock, curation, and the run with its manifest."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import anyio.to_thread
from anyio.abc import TaskStatus

from daemon import events
from daemon.host.notify import Notifier
from daemon.sampling.plans import ActivePlan
from daemon.training.manifest import RunRequest, TaskInfo, prepare
from daemon.training.run_fingerprint import run_fingerprint
from daemon.training.trainer import Trainer
from daemon.training.trigger import Due, Stock, due
from engine.config import Config, StudentConfig
from engine.config.root import expand
from engine.strategies import STRATEGIES
from state.database import now_ms, open_reader
from state.enums import RunState
from state.runs import NewRun, RunChange, change_run, create_run, existing_triggers
from state.writer import Writer

TICK_S = 0.5


@dataclass(frozen=True, slots=True)
class Scope:
    """A student on one task, or on all of its tasks together."""

    student: StudentConfig
    name: str
    tasks: tuple[str, ...]


class Planner:
    """Looks at the stock after samples were stored, and starts what is due."""

    def __init__(
        self,
        config: Config,
        *,
        writer: Writer,
        bus: events.Bus,
        trainer: Trainer,
        plans: list[ActivePlan],
        task_ids: dict[str, int],
    ) -> None:
        self._config = config
        self._writer = writer
        self._bus = bus
        self._trainer = trainer
        self._plans = plans
        self._task_ids = task_ids
        self._dirty = True
        self._busy = False
        self.changed = Notifier()
        self.scopes = [scope for student in config.students for scope in scopes_of(student, config)]
        bus.listen(self._heard)

    def configure(self, config: Config, task_ids: dict[str, int]) -> None:
        """Other students, tasks or plans: looks at all of them at once."""
        self._config, self._task_ids = config, {**self._task_ids, **task_ids}
        self.scopes = [scope for student in config.students for scope in scopes_of(student, config)]
        self._dirty = True
        self.changed.notify()

    @property
    def idle(self) -> bool:
        """Whether everything stored so far was looked at."""
        return not self._dirty and not self._busy

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Starts due runs until cancelled."""
        task_status.started()
        while True:
            if self._dirty:
                self._dirty, self._busy = False, True
                await self._look()
                self._busy = False
            await self.changed.wait(TICK_S)

    async def train_now(self, task: str, student: str | None) -> str:
        """A run at once, with what there is; a stopped or failed one of the same data settings goes on.

        One that failed because it had nothing to read is made anew.

        Raises:
            ValueError: there is nothing to train; the message says why.
        """
        scopes = [
            scope
            for scope in self.scopes
            if (task in scope.tasks or task == scope.name) and student in (None, scope.student.name)
        ]
        if not scopes:
            raise ValueError(f"no student {student or ''} trains on {task!r}".replace("  ", " "))
        told = [await self._train_scope(scope) for scope in scopes]
        self._trainer.changed.notify()
        return "; ".join(told)

    async def _train_scope(self, scope: Scope) -> str:
        stock = (await anyio.to_thread.run_sync(self._stocks, [scope]))[0]
        ended = await anyio.to_thread.run_sync(self._ended_run, stock)
        if ended is not None:
            change = {"state": RunState.QUEUED.value, "tries": 0, "error": None, "ended_at": None}
            await self._writer.do(change_run, RunChange(run_id=ended, values=change))
            return f"run {ended} ({scope.student.name} on {scope.name}) goes on"
        run_id = await self._create(scope, Due(stock, f"manual-{now_ms()}"))
        return f"run {run_id} ({scope.student.name} on {scope.name}) is queued"

    def _ended_run(self, stock: Stock) -> int | None:
        with closing(open_reader(self._config.database)) as connection:
            row = connection.execute(
                "SELECT id, state FROM run WHERE student = ? AND scope = ? AND recipe = ? AND samples > 0"
                " ORDER BY id DESC LIMIT 1",
                (stock.student, stock.scope, stock.recipe),
            ).fetchone()
        return row[0] if row is not None and row[1] in (RunState.STOPPED, RunState.FAILED) else None

    def _heard(self, event: events.Happened) -> None:
        if isinstance(event, events.SampleStored | events.SampleFailed | events.PlanCompleted):
            self._dirty = True
            if isinstance(event, events.PlanCompleted):
                self.changed.notify()

    async def _look(self) -> None:
        config = self._config
        stocks, existing = await anyio.to_thread.run_sync(self._read)
        if self._config is not config:
            return  # read again meanwhile: what was read may name what is gone
        by_key = {(scope.student.name, scope.name): scope for scope in self.scopes}
        for item in due(config.students, stocks, existing):
            if self._config is not config:
                return
            await self._create(by_key[item.stock.student, item.stock.scope], item)

    def _read(self) -> tuple[list[Stock], set[tuple[str, str, str, str]]]:
        stocks = self._stocks(self.scopes)
        with closing(open_reader(self._config.database)) as connection:
            return stocks, existing_triggers(connection)

    def _stocks(self, scopes: list[Scope]) -> list[Stock]:
        with closing(open_reader(self._config.database)) as connection:
            rows = connection.execute("SELECT id, accepted, stored FROM plan WHERE active = 1").fetchall()
            digests = dict(connection.execute("SELECT name, digest FROM task").fetchall())
        accepted = {key: correct for key, correct, _ in rows}
        stored = {key: count for key, _, count in rows}
        result = []
        for scope in scopes:
            blind = scope.student.curation.labels == "majority"  # then nobody knows which are correct
            plans = self._plans_of(scope)
            result.append(
                Stock(
                    student=scope.student.name,
                    scope=scope.name,
                    recipe=run_fingerprint(
                        scope.student, plans, [digests.get(task, "") for task in scope.tasks]
                    ),
                    accepted=_accepted(plans, stored if blind else accepted),
                    complete=all(plan.done for plan in plans),
                )
            )
        return result

    def _plans_of(self, scope: Scope) -> list[ActivePlan]:
        names = expand(scope.student.plans, [plan.name for plan in self._config.plans])
        return [
            plan
            for plan in self._plans
            if plan.task in scope.tasks
            and plan.config.name in names
            and plan.config.split == "train"
            and reads(scope.student, plan.config.strategy)
        ]

    async def _create(self, scope: Scope, item: Due) -> int | None:
        request = RunRequest(
            student=scope.student,
            scope=scope.name,
            trigger=item.trigger,
            fingerprint=item.stock.recipe,
            tasks=tuple(
                TaskInfo(id=self._task_ids[name], name=name, answer_format=self._config.tasks[name].answer)
                for name in scope.tasks
            ),
            plan_ids=tuple(plan.id for plan in self._plans_of(scope)),
        )
        new = await anyio.to_thread.run_sync(self._prepare, request)
        run_id = await self._writer.do(create_run, new)
        if run_id is None:
            return None
        if new.rows == 0:
            reason = "no accepted rationale to train on: look at the samples and the grader's reasons"
            values = {"state": RunState.FAILED.value, "error": reason, "ended_at": now_ms()}
            await self._writer.do(change_run, RunChange(run_id=run_id, values=values))
            self._bus.emit(
                events.RunFailed(run_id=run_id, student=new.student, scope=new.scope, reason=reason)
            )
            return run_id
        self._bus.emit(
            events.ThresholdReached(
                student=new.student, scope=new.scope, trigger=new.trigger, samples=new.rows, run_id=run_id
            )
        )
        self._trainer.queued += 1
        self._trainer.changed.notify()
        return run_id

    def _prepare(self, request: RunRequest) -> NewRun:
        with closing(open_reader(self._config.database)) as connection:
            return prepare(connection, self._config, request)


def _accepted(plans: list[ActivePlan], counts: dict[int, int]) -> int:
    """Accepted samples of some plans; plans of one recipe share theirs, which count once."""
    most: dict[tuple[int, str], int] = {}
    for plan in plans:
        key = plan.task_id, plan.recipe
        most[key] = max(most.get(key, 0), counts.get(plan.id, 0))
    return sum(most.values())


def reads(student: StudentConfig, strategy: str) -> bool:
    """Whether a student reads what a strategy brings: hinted rationales only where its curation says so."""
    return not STRATEGIES[strategy].hinted or student.curation.hinted


def scopes_of(student: StudentConfig, config: Config) -> list[Scope]:
    """What a student trains on: each of its tasks, or all together."""
    tasks = tuple(expand(student.tasks, list(config.tasks)))
    if student.scope == "joint":
        return [Scope(student, "joint", tasks)]
    return [Scope(student, task, (task,)) for task in tasks]
