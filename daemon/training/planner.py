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
from daemon.training.derived import DerivedRuns, DerivedScope, derived_scopes
from daemon.training.manifest import RunRequest, prepare
from daemon.training.run_fingerprint import asked_otherwise, teaches_gold_when_wrong
from daemon.training.scopes import Scope, all_scopes, order_of
from daemon.training.stocks import ScopeStock, Stocks
from daemon.training.trainer import Trainer
from engine.config import Config, StudentConfig
from engine.methods import METHODS
from state.commands import Effect, apply_once
from state.database import now_ms, open_reader
from state.enums import TRAIN, RunState
from state.runs import (
    NewRun,
    RunEnd,
    RunRequeue,
    RunRow,
    StoredRun,
    TaskInfo,
    create_run,
    end_run,
    latest_run,
    make_runs,
    own_answer_runs,
    rename_run,
    requeue_run,
)
from state.triggers import Stock, due, wakes_at
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
        self._kept: set[int] = set()
        self._new_config = True
        self._just_made: set[str] = set()
        self.waits: dict[str, str] = {}
        """Students that wait for another one, as `student on scope`, and for which."""
        self.changed = Notifier()
        self._take(config)
        bus.listen(self._on_event)

    def configure(self, config: Config, task_ids: dict[str, int]) -> None:
        """Takes other students, tasks or plans over, and looks at all of them at once."""
        self._task_ids = {**self._task_ids, **task_ids}
        self._take(config)
        self._nothing_new.clear()
        self._kept.clear()
        self._new_config = True
        self._dirty = True
        self.changed.notify()

    def _take(self, config: Config) -> None:
        self._config = config
        self.scopes, self._derived = all_scopes(config), derived_scopes(config)
        self._order = order_of(config)
        keys = [scope.key for scopes in self._derived.values() for scope in scopes]
        self._reads = Stocks(config, self._plans, self.scopes, keys)

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
        everything: list[Scope | DerivedScope] = [*self.scopes]
        for derived in self._derived.values():
            everything += derived
        scopes = [
            scope
            for scope in everything
            if (task in scope.tasks or task == scope.name) and student in (None, scope.key[0])
        ]
        if not scopes:
            raise ValueError(f"no student {student or ''} trains on {task!r}".replace("  ", " "))
        if student is None:  # those that come from others follow them
            names = {scope.key[0] for scope in scopes}
            scopes = [scope for scope in scopes if not names.intersection(scope.source_students)]
        wanted = [await self._wanted(scope, f"manual-{command}") for scope in scopes]
        noted = [
            isinstance(run, NewRun) and await anyio.to_thread.run_sync(self._taught_otherwise, run)
            for run in wanted
        ]
        about = [" on ".join(scope.key) for scope in scopes]

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

    async def _wanted(self, scope: Scope | DerivedScope, name: str) -> NewRun | RunRequeue:
        if isinstance(scope, DerivedScope):
            derived = DerivedRuns(self._config, self._task_ids)
            made = await anyio.to_thread.run_sync(derived.by_command, scope, name)
            if made.run is None:
                raise ValueError(_cannot_start(scope.key, made.waits))
            return made.run
        found = (await anyio.to_thread.run_sync(self._reads.of, [scope]))[0]
        if found.sources.waits:
            raise ValueError(_cannot_start(scope.key, found.sources.waits))
        latest = await anyio.to_thread.run_sync(self._latest, found.scope, found.stock)
        if latest is not None and latest.state in (RunState.STOPPED, RunState.FAILED):
            return RunRequeue(run_id=latest.id, tries=0)
        return await self._prepare(found, name)

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
            # A trigger that repeats waits for the last run to end, and a student for the one that it starts from.
            self._dirty |= self._descends or any(
                trigger.repeats for scope in self.scopes for trigger in scope.rule.train_at
            )

    @property
    def _descends(self) -> bool:
        """Whether any student starts from another one."""
        return bool(self._derived) or any(scope.source_students for scope in self.scopes)

    async def _look(self) -> None:
        config, now = self._config, self._now()
        if self._new_config:
            await self._rename()
            self._new_config = self._config is not config
        wakes: list[int | None] = []
        self._just_made.clear()
        stocks = await anyio.to_thread.run_sync(self._reads.of, list(self.scopes))
        derived = self._derived
        waits = {" on ".join(each.scope.key): each.sources.awaited for each in stocks if each.sources.waits}
        for name in self._order:
            for each in (stock for stock in stocks if stock.scope.student.name == name):
                if self._config is not config:
                    return  # it was read again meanwhile: these scopes may be gone
                wakes.append(await self._look_at(each, now))
            for scope in derived.get(name, ()):
                if self._config is not config:
                    return
                if awaited := await self._derive(scope):
                    waits[" on ".join(scope.key)] = awaited
        self.waits = waits
        self._wakes_at = min((at for at in wakes if at is not None), default=None)

    async def _look_at(self, found: ScopeStock, now: int) -> int | None:
        """Makes the run of a scope that is due; returns when to look again if nothing but time changes."""
        scope = found.scope
        if found.sources.waits or self._just_made.intersection(scope.source_students):
            return None
        await self._evaluate_again(scope, found.runs)
        one = due(scope.rule.train_at, found.stock, now)
        if one is None:
            return wakes_at(scope.rule.train_at, found.stock)
        if one.trigger.repeats:
            return await self._repeat(found, one.name)
        await self._create(found, one.name)
        return None

    async def _derive(self, scope: DerivedScope) -> str:
        """Makes the run of a derived student that has none of its newest sources, or evaluates it again; returns whom it waits for."""
        made = [source.words for source in scope.sources if source.student in self._just_made]
        if made:
            return made[0]
        name, _ = scope.key
        found = await anyio.to_thread.run_sync(DerivedRuns(self._config, self._task_ids).due, scope)
        if found.renamed is not None:
            await self._writer.do(rename_run, (found.renamed.id, name))
            self._say_renamed(found.renamed, name)
            self._dirty = True
        elif isinstance(found.run, RunRequeue):
            self._trainer.queued += 1
            await self._writer.do(requeue_run, found.run)
            self._bus.emit(
                events.EvaluatedAgain(
                    run_id=found.run.run_id, student=name, scope=scope.name, differ=found.asked_again
                )
            )
            self._changed(name)
        elif found.run is not None:
            await self._store(replace(found.run, created_at=self._now()))
        return found.awaited

    async def _rename(self) -> None:
        """Gives runs of students that have another name now to them: the same student is not trained again.

        Whoever starts from one of them is known again only after it.
        """
        while found := await anyio.to_thread.run_sync(self._reads.renamed):
            for run, name in found:
                await self._writer.do(rename_run, (run.id, name))
                self._say_renamed(run, name)

    def _say_renamed(self, run: StoredRun, name: str) -> None:
        note = f"it is the student {name} now: the settings are the same, and nothing is trained again"
        self._bus.emit(events.RunNoted(run_id=run.id, student=run.name, scope=run.scope, note=note))

    async def _evaluate_again(self, scope: Scope, runs: Sequence[StoredRun]) -> None:
        """Queues finished runs whose evaluation is another one now. They have their students, so nothing is trained."""
        if not METHODS[scope.student.method].trains:
            return
        differ = {run.id: asked_otherwise(scope.student, run) for run in runs}
        current = {run.trigger for run in runs if not differ[run.id]}
        for run in runs:
            if (
                not differ[run.id]
                or run.state != RunState.DONE
                or run.id in self._kept
                or run.trigger in current
            ):
                continue
            current.add(run.trigger)
            said = ", ".join(
                f"{name} was {before} and is {now}" for name, (before, now) in differ[run.id].items()
            )
            again = await anyio.to_thread.run_sync(self._reads.with_evaluation, scope, run)
            if again is None:
                self._kept.add(run.id)
                note = (
                    f"its evaluation changed ({said}), but its student is gone: its results stay as they were"
                )
                self._bus.emit(events.RunNoted(run_id=run.id, student=run.name, scope=run.scope, note=note))
                continue
            self._trainer.queued += 1
            await self._writer.do(requeue_run, again)
            self._bus.emit(
                events.EvaluatedAgain(run_id=run.id, student=run.name, scope=run.scope, differ=said)
            )
            self._changed(run.name)

    async def _repeat(self, found: ScopeStock, name: str) -> int | None:
        """Makes a run, unless it would read the rows of the last one, or none; returns when to try again."""
        scope, stock = found.scope, found.stock
        before = self._nothing_new.get(scope.key)
        if before is not None:
            if (before.samples, before.fingerprint) == (stock.samples, stock.fingerprint):
                return None  # until something changes
            if self._now() < before.at + SAME_ROWS_MS:
                return before.at + SAME_ROWS_MS
        new = await self._prepare(found, name)
        last = stock.last
        same = last is not None and (last.fingerprint, last.digest) == (new.fingerprint, new.digest)
        if same or new.rows == 0:
            self._nothing_new[scope.key] = _NothingNew(stock.samples, stock.fingerprint, self._now())
        else:
            await self._store(new)
        return None

    async def _create(self, found: ScopeStock, name: str) -> int | None:
        return await self._store(await self._prepare(found, name))

    async def _prepare(self, found: ScopeStock, name: str) -> NewRun:
        scope, stock = found.scope, found.stock
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
            sources=found.sources.rows,
        )

        def read() -> NewRun:
            with closing(open_reader(self._config.database)) as connection:
                return prepare(connection, self._config, request)

        return replace(await anyio.to_thread.run_sync(read), created_at=self._now())

    def _taught_otherwise(self, new: NewRun) -> bool:
        """Whether earlier runs of the student taught other answers under wrong rationales than this one."""
        if new.kind != TRAIN:
            return False
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
        method = METHODS.get(new.method)
        if new.rows == 0 and method is not None and method.trains:
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
        self._changed(new.student)

    def _changed(self, student: str) -> None:
        """A student is on its way: whoever starts from it is looked at again."""
        self._just_made.add(student)
        self._dirty |= self._descends
        self._trainer.changed.notify()


def _cannot_start(key: tuple[str, str], waits: str) -> str:
    return f"{' on '.join(key)} cannot start yet: {waits}. It follows by itself"
