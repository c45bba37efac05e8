"""Makes the student runs whose triggers fire: stock, curation, and the run with its manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import anyio.to_thread
from anyio.abc import TaskStatus

from daemon import events
from daemon.host.notify import Notifier
from daemon.sampling.plans import ActivePlan
from daemon.training.manifest import RunRequest, prepare
from daemon.training.run_fingerprint import settled, teaches_gold_when_wrong
from daemon.training.scopes import Scope, scopes_of
from daemon.training.trainer import Trainer
from engine.config import Config, StudentConfig
from engine.methods import METHODS
from state.commands import Effect, apply_once
from state.database import now_ms, open_reader
from state.enums import RunState
from state.runs import (
    NewRun,
    RunEnd,
    RunRequeue,
    RunRow,
    TaskInfo,
    create_run,
    end_run,
    existing_triggers,
    latest_run,
    make_runs,
    own_answer_runs,
    task_digests,
)
from state.triggers import Stock, due, first_start, last_runs, plan_counts, wakes_at
from state.writer import Writer

TICK_S = 0.5
SAME_ROWS_MS = 60_000
"""A repeating trigger whose run would read the same rows as the last one is not tried again sooner."""
NO_ROWS = "no correct rationale to train on: look at the samples and the grader's reasons"
NO_QUESTIONS = "no question to train on: its drops say why they were left out"
OTHER_ANSWERS = (
    "teaches the gold answer under wrong rationales; an earlier version taught the teacher's own, so this student is trained"
    ' again. `labels = "teacher"` goes on with the earlier runs'
)


@dataclass(frozen=True, slots=True)
class _NothingNew:
    """What there was when a repeating trigger fired and the rows were those of the last run, or none."""

    samples: int
    fingerprint: str
    at: int


class Planner:
    """Looks at the stock after samples were stored, and makes the runs whose triggers fire."""

    def __init__(
        self,
        config: Config,
        *,
        writer: Writer,
        bus: events.Bus,
        trainer: Trainer,
        plans: list[ActivePlan],
        task_ids: dict[str, int],
        now: Callable[[], int] = now_ms,
    ) -> None:
        self._config = config
        self._writer = writer
        self._bus = bus
        self._trainer = trainer
        self._plans = plans
        self._task_ids = task_ids
        self._now = now
        self._dirty = True
        self._busy = False
        self._wakes_at: int | None = None
        self._nothing_new: dict[tuple[str, str], _NothingNew] = {}
        self.changed = Notifier()
        self.scopes = [scope for student in config.students for scope in scopes_of(student, config)]
        bus.listen(self._on_event)

    def configure(self, config: Config, task_ids: dict[str, int]) -> None:
        """Takes other students, tasks or plans over, and looks at all of them at once."""
        self._config, self._task_ids = config, {**self._task_ids, **task_ids}
        self.scopes = [scope for student in config.students for scope in scopes_of(student, config)]
        self._nothing_new.clear()
        self._dirty = True
        self.changed.notify()

    @property
    def idle(self) -> bool:
        """Whether no trigger can fire now: everything stored was looked at, and no interval is over."""
        return not self._busy and not self._must_look

    @property
    def _must_look(self) -> bool:
        return self._dirty or (self._wakes_at is not None and self._now() >= self._wakes_at)

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Makes runs until cancelled."""
        task_status.started()
        while True:
            if self._must_look:
                self._dirty, self._busy = False, True
                await self._look()
                self._busy = False
            await self.changed.wait(TICK_S)

    async def train_now(self, task: str, student: str | None, command: int) -> str:
        """Makes a run at once, with the samples there are; a stopped or failed one of the same settings is resumed.

        One that failed because it had nothing to read is made anew. All runs of a command are stored together, once.

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
        wanted = [await self._wanted(scope, f"manual-{command}") for scope in scopes]
        noted = [
            isinstance(run, NewRun) and await anyio.to_thread.run_sync(self._taught_otherwise, run)
            for run in wanted
        ]
        about = [f"{scope.student.name} on {scope.name}" for scope in scopes]

        def words(ids: Sequence[int | None]) -> str:
            return "; ".join(
                f"run {run_id} {'queued' if isinstance(run, NewRun) else 'resumed'}: {what}"
                for run, run_id, what in zip(wanted, ids, about, strict=True)
            )

        effect = Effect(id=command, batch=make_runs, item=wanted, words=words)
        ids: list[int | None] = await self._writer.do(apply_once, effect)
        for run, run_id, told in zip(wanted, ids, noted, strict=True):
            if isinstance(run, NewRun) and run_id is not None:
                await self._made(run, run_id, told)
        self._trainer.changed.notify()
        return words(ids)

    async def _wanted(self, scope: Scope, name: str) -> NewRun | RunRequeue:
        scope, stock = (await anyio.to_thread.run_sync(self._stocks, [scope]))[0]
        latest = await anyio.to_thread.run_sync(self._latest, scope, stock)
        if latest is not None and latest.state in (RunState.STOPPED, RunState.FAILED):
            return RunRequeue(run_id=latest.id, tries=0)
        return await self._prepare(scope, stock, name)

    def _latest(self, scope: Scope, stock: Stock) -> RunRow | None:
        with closing(open_reader(self._config.database)) as connection:
            return latest_run(connection, *scope.key, stock.fingerprint)

    def _on_event(self, event: events.Event) -> None:
        if isinstance(event, events.SampleStored | events.SampleFailed):
            self._dirty = True
        elif isinstance(event, events.PlanCompleted):
            self._dirty = True
            self.changed.notify()
        elif isinstance(event, events.RunFinished | events.RunFailed | events.RunStopped):
            # A trigger that repeats waits for the last run to end.
            self._dirty |= any(trigger.repeats for scope in self.scopes for trigger in scope.rule.train_at)

    async def _look(self) -> None:
        config, now = self._config, self._now()
        scopes = list(self.scopes)
        stocks = await anyio.to_thread.run_sync(self._stocks, scopes)
        wakes: list[int | None] = []
        for scope, stock in stocks:
            if self._config is not config:
                return  # it was read again meanwhile: these scopes may be gone
            found = due(scope.rule.train_at, stock, now)
            if found is None:
                wakes.append(wakes_at(scope.rule.train_at, stock))
            elif found.trigger.repeats:
                wakes.append(await self._repeat(scope, stock, found.name))
            else:
                await self._create(scope, stock, found.name)
        self._wakes_at = min((at for at in wakes if at is not None), default=None)

    def _stocks(self, scopes: list[Scope]) -> list[tuple[Scope, Stock]]:
        """What there is for each scope, and the scope with the form of its student, where that is known."""
        with closing(open_reader(self._config.database)) as connection:
            counts = plan_counts(connection, [plan.id for plan in self._plans])
            digests, last = task_digests(connection), last_runs(connection)
            existing, since = existing_triggers(connection), first_start(connection)
        stocks = []
        for scope in scopes:
            read = scope.rule.read(counts, scope.tasks)
            chosen = {plan.id for plan in read}
            plans = [plan for plan in self._plans if plan.id in chosen]
            own = [(trigger, of) for *key, trigger, of in existing if tuple(key) == scope.key]
            student, fingerprint = settled(
                scope.student,
                plans,
                [digests.get(task, "") for task in scope.tasks],
                {of for _, of in own},
            )
            stock = scope.rule.stock(
                read,
                since=since,
                last=last.get(scope.key),
                complete=all(plan.done for plan in plans),
                fingerprint=fingerprint,
                runs=frozenset(trigger for trigger, of in own if of == fingerprint),
            )
            stocks.append((replace(scope, student=student), stock))
        return stocks

    async def _repeat(self, scope: Scope, stock: Stock, name: str) -> int | None:
        """Makes a run, unless it would read the rows of the last one, or none; returns when to try again."""
        before = self._nothing_new.get(scope.key)
        if before is not None:
            if (before.samples, before.fingerprint) == (stock.samples, stock.fingerprint):
                return None  # until something changes
            if self._now() < before.at + SAME_ROWS_MS:
                return before.at + SAME_ROWS_MS
        new = await self._prepare(scope, stock, name)
        last = stock.last
        same = last is not None and (last.fingerprint, last.digest) == (new.fingerprint, new.digest)
        if same or new.rows == 0:
            self._nothing_new[scope.key] = _NothingNew(stock.samples, stock.fingerprint, self._now())
        else:
            await self._store(new)
        return None

    async def _create(self, scope: Scope, stock: Stock, name: str) -> int | None:
        return await self._store(await self._prepare(scope, stock, name))

    async def _prepare(self, scope: Scope, stock: Stock, name: str) -> NewRun:
        request = RunRequest(
            student=scope.student,
            scope=scope.name,
            trigger=name,
            fingerprint=stock.fingerprint,
            tasks=tuple(
                TaskInfo(id=self._task_ids[task], name=task, answer_format=self._config.tasks[task].answer)
                for task in scope.tasks
            ),
            plan_ids=stock.plans,
            counted=stock.samples,
        )

        def read() -> NewRun:
            with closing(open_reader(self._config.database)) as connection:
                return prepare(connection, self._config, request)

        return replace(await anyio.to_thread.run_sync(read), created_at=self._now())

    def _taught_otherwise(self, new: NewRun) -> bool:
        """Whether earlier runs of the student taught other answers under wrong rationales than this one."""
        if not teaches_gold_when_wrong(StudentConfig.model_validate(new.settings.student)):
            return False
        with closing(open_reader(self._config.database)) as connection:
            return (new.student, new.scope) in own_answer_runs(connection)

    async def _store(self, new: NewRun) -> int | None:
        """Stores a run and queues it; None where it exists."""
        noted = await anyio.to_thread.run_sync(self._taught_otherwise, new)
        run_id = await self._writer.do(create_run, new)
        if run_id is not None:
            await self._made(new, run_id, noted)
        return run_id

    async def _made(self, new: NewRun, run_id: int, noted: bool) -> None:
        """A run was stored: without rows it has failed at once. `noted`: earlier ones taught other answers."""
        method = METHODS[new.method]
        if new.rows == 0 and method.trains:
            reason = NO_ROWS if method.reads_samples else NO_QUESTIONS
            await self._writer.do(end_run, RunEnd(run_id=run_id, state=RunState.FAILED, error=reason))
            self._bus.emit(
                events.RunFailed(run_id=run_id, student=new.student, scope=new.scope, reason=reason)
            )
            return
        if noted:
            self._bus.emit(
                events.RunNoted(run_id=run_id, student=new.student, scope=new.scope, note=OTHER_ANSWERS)
            )
        self._bus.emit(
            events.ThresholdReached(
                run_id=run_id, student=new.student, scope=new.scope, trigger=new.trigger, samples=new.rows
            )
        )
        self._trainer.queued += 1
        self._trainer.changed.notify()
