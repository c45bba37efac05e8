"""One seed, from its first start to its last answer: the daemon's own sampling, killed and started again.

Real: the sync and the reload of the configuration, the pipeline, the writer, the database file, its backup, the restart.
Simulated: time, chance, the teacher, the size of the disk, and death. A killed daemon reaches neither disk nor teacher from that moment on; its tasks
are only then taken apart, so no `finally` of theirs leaves a trace. Commits run with `synchronous = OFF`: a
power cut is not what dies here.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from sqlite3 import SQLITE_FULL
from typing import Any

import anyio
from anyio.abc import TaskGroup

from daemon.catalog.sync import Catalog, Input, make_budget, synchronise
from daemon.events import Bus
from daemon.pipeline import Pipeline
from daemon.reload import Reload, TeacherFactory
from daemon.sampling import scheduler
from daemon.sampling.context import Context
from daemon.sampling.teacher import Teacher
from daemon.work import LOOK_S, Work
from engine.config import Config, TeacherConfig
from engine.teachers.keys import TeacherKey
from state import sqlite
from state.commands import Retry
from state.daemon_sessions import end_session
from state.database import open_writer
from state.errors import StateFailing
from state.sqlite import Connection
from state.writer import Writer
from tests.simulation.fault_server import FaultServer, Link
from tests.simulation.invariants import History, Tally, Watch, check_end, check_rest
from tests.simulation.loop import Deadlock, VirtualLoop
from tests.simulation.scenario import Death, Scenario
from tests.simulation.user import BY_SIGHUP, FULL, FULL_RELOAD, KILLED_RELOAD, LOCKED_RELOAD, START, User

LONGEST_S = 20 * 3600.0
"""No life of any scenario needs longer; the longest outage lasts two hours."""
PERSON_S = 1800.0
"""A person looks after at most so long what keeps the daemon from going on."""
MOST_BOOTS = 40
QUIET_SHARE = 0.25
LONGEST_LOOK_S = 10.0
"""A look comes after this share of the time in which nothing happened, and after this number of seconds at the latest."""
MOST_PAGES = 1 << 30


class LoopClock:
    """The daemon's clock: the loop's time.

    Where nothing was sent, answered or stored for a while, the daemon looks around less often, or most of a simulation
    would be looks during outages.
    """

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.happened()

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        if seconds >= LOOK_S:
            quiet = self._loop.time() - self._happened
            scheduler.LOOK_S = seconds = max(seconds, min(quiet * QUIET_SHARE, LONGEST_LOOK_S))
        await anyio.sleep(seconds)

    def happened(self) -> None:
        """Something was sent, answered or stored."""
        self._happened = self._loop.time()
        scheduler.LOOK_S = LOOK_S


class NoStudents:
    """A planner or a trainer without students."""

    devices = ()

    def configure(self, *_: Any) -> None:
        """Takes a new configuration."""


@dataclass
class SimulationResult:
    """What a run was."""

    seed: int
    virtual_s: float
    boots: int
    kills: int
    requests: int
    billed: int
    stored: int
    unknown: int
    refused: int
    trace: str
    faults: dict[str, int] = field(default_factory=dict)
    checked: dict[str, int] = field(default_factory=dict)
    """How often each invariant was looked at."""
    seen: dict[str, int] = field(default_factory=dict)
    """How often each kind of change happened."""


class Simulation:
    """One scenario in a folder of its own."""

    def __init__(self, seed: int, folder: Path, scenario: Scenario | None = None) -> None:
        """The scenario of the seed, or one that was made by hand."""
        self.scenario = scenario = scenario or Scenario.of(seed)
        self.folder = folder
        self.rng = random.Random(scenario.rng.random())
        self.boot_id = 0
        self.history = History()
        self.seen: Counter[str] = Counter()
        self.user = User(scenario, folder, self.rng, self.history, self.seen)
        self.capped = True
        self.asked_again = False
        self._now = START
        self._epochs = itertools.count()
        self._epoch = 0
        self._full = False
        self._loop: VirtualLoop | None = None
        self._clock: LoopClock | None = None
        self._death: Death | None = None
        self._count = 0
        self._dead = False
        self._kills = 0
        self._trace = hashlib.sha256()
        self._tally: Tally = Counter()
        self._connection: Connection | None = None
        self.watch: Watch | None = None
        config = scenario.config(folder)
        self.servers = {
            name: FaultServer(
                name=name,
                config=settings,
                behaviour=scenario.behaviour[name],
                rng=random.Random(self.rng.random()),
                now=lambda: self.now() - START,
                boot=lambda: self.boot_id,
                epoch=lambda: self._epoch,
                moment=self._moment,
            )
            for name, settings in config.teachers.items()
        }

    def now(self) -> float:
        """Virtual time, over all lives."""
        return self._loop.time() if self._loop is not None else self._now

    def run(self) -> SimulationResult:
        """To the end of all work; every invariant is checked on the way.

        Raises:
            AssertionError: one did not hold.
        """
        deaths = iter(self.scenario.deaths)
        boots = 0
        while not (self._life(next(deaths, None)) and not self.user.edits and self.user.backup is None):
            boots += 1
            assert boots < MOST_BOOTS, "the daemon is started again and again and does not end its work"
            check_rest(self.folder, self._tally)
            self._now += self.rng.choice((0.1, 5.0, 600.0))
            self.user.between(self.servers)
        found = check_end(self.folder, self.scenario, self.servers, self.history, self._tally)
        entries = [entry for server in self.servers.values() for entry in server.entries]
        faults: dict[str, int] = {}
        for entry in entries:
            faults[entry.fault] = faults.get(entry.fault, 0) + 1
        return SimulationResult(
            seed=self.scenario.seed,
            virtual_s=self._now - START,
            boots=boots + 1,
            kills=self._kills,
            requests=len(entries),
            billed=found["billed"],
            stored=found["stored"],
            unknown=found["unknown"],
            refused=faults.get("limit", 0),
            trace=self._trace.hexdigest(),
            faults=faults,
            checked=dict(self._tally),
            seen=dict(self.seen),
        )

    def _life(self, death: Death | None) -> bool:
        """From a start to an end or a kill; whether all work was done."""
        loop = self._loop = VirtualLoop(self._now)
        self._death, self._count, self._dead, self._full = death, 0, False, False
        life = loop.create_task(self._live(death))
        life.add_done_callback(lambda _: None if self._dead else loop.stop())
        killer = loop.call_later(LONGEST_S, loop.stop)
        try:
            loop.run_forever()
            self._now = loop.time()
            if life.done():
                return life.result()
            assert self._dead, f"the work did not end within {LONGEST_S / 3600:.0f} hours"
            self._kills += 1
            self.history.cut.add(self.boot_id)
            self.seen[KILLED_RELOAD] += death is not None and death.moment == "reload"
            self._note("killed")
            return False
        finally:
            killer.cancel()
            self._bury(loop)
            self._clock, scheduler.LOOK_S = None, LOOK_S

    def _reload(
        self,
        config: Config,
        given: Input,
        catalog: Catalog,
        context: Context,
        pipeline: Pipeline,
        group: TaskGroup,
    ) -> Reload:
        async def open_key(teacher: Teacher, key: TeacherKey) -> None:
            await group.start(pipeline.add_key(teacher, key).serve)

        async def open_client(name: str, settings: TeacherConfig, *_: Any) -> tuple[Any, None]:
            return Link(self.servers[name], settings), None

        return Reload(
            config,
            context,
            reread=lambda: self.scenario.config(self.folder, capped=self.capped),
            catalog=catalog,
            given=given,
            scheduler=pipeline.scheduler,
            attempts=pipeline.attempt_runner.attempts,
            planner=NoStudents(),  # type: ignore[arg-type]
            trainer=NoStudents(),  # type: ignore[arg-type]
            factory=TeacherFactory(
                client=open_client, teacher=pipeline.make_teacher, key=open_key, share_files=lambda: None
            ),
            read=self.scenario.read,
            run_blocking=self._reading,
        )

    def _bury(self, loop: VirtualLoop) -> None:
        """Takes a dead daemon apart: its disk is gone already."""
        self._dead = True
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        loop.set_exception_handler(lambda *_: None)
        with suppress(Deadlock):  # what was just spawned begins, or it would be told of as never awaited
            loop.run_until_complete(asyncio.sleep(0.001))
        for _ in range(100):
            tasks = asyncio.all_tasks(loop)
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            with suppress(Deadlock):
                loop.run_until_complete(asyncio.wait(tasks, timeout=0.1))
        self._loop = None
        loop.close()

    async def _live(self, death: Death | None) -> bool:
        scenario, loop = self.scenario, self._loop
        assert loop is not None
        config = scenario.config(self.folder, capped=self.capped)
        connection = self._connection = open_writer(config.database)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA busy_timeout = 0")
        given = scenario.read(config)
        catalog = synchronise(config, given)
        self.boot_id, self._epoch = catalog.session.id, next(self._epochs)
        for name, settings in config.teachers.items():
            self.servers[name].charge(settings)
        self._note(f"boot {catalog.session.id} {catalog.session.unknown_attempts}")
        clock, bus = LoopClock(loop), Bus()
        self._clock = clock
        writer = Writer(connection, run=self._disk)
        budget = make_budget(config, catalog)
        context = Context(
            session_id=catalog.session.id,
            writer=writer,
            budget=budget,
            bus=bus,
            clock=clock,
            rng=random.Random(self.rng.random()),
        )
        async with anyio.create_task_group() as outer:
            await outer.start(writer.serve)
            async with anyio.create_task_group() as group:
                pipeline = Pipeline(context, plans=catalog.plans, run_blocking=_inline)
                for name, settings in config.teachers.items():
                    teacher = pipeline.make_teacher(
                        catalog.teachers[name], settings, Link(self.servers[name], settings)
                    )
                    pipeline.add_teacher(teacher, given.keys.get(name, ()))
                self.watch = Watch(
                    connection, config, pipeline, budget, self.servers, self._tally, self.history
                )

                reload = self._reload(config, given, catalog, context, pipeline, group)
                await pipeline.take_up(config.database)
                reload.register(pipeline.former)
                for name, serve in pipeline.parts():
                    await group.start(serve, name=name)
                work = Work(
                    config,
                    context,
                    scheduler=pipeline.scheduler,
                    retry_queue=pipeline.retry_queue,
                    others=(),
                    run_blocking=_inline,
                )
                group.start_soon(work.report_completions)
                group.start_soon(self._act, pipeline)
                group.start_soon(self._signal, reload)
                group.start_soon(self.user.copy, config.database, self.now)
                for at, length in scenario.locked:
                    group.start_soon(self._lock, config.database, START + at - loop.time(), length)
                with anyio.move_on_after(death.seconds if death is not None and death.seconds else None):
                    await self._until_done(work, pipeline, writer)
                done = all(plan.done for plan in pipeline.plans)
                pipeline.close()
                drain_s = 30.0 if death is None or not death.seconds else death.drain_s
                with anyio.move_on_after(drain_s) as drain:
                    await pipeline.drained()
                if drain.cancelled_caught:
                    self.history.cut.add(self.boot_id)
                with anyio.CancelScope(shield=True):
                    await pipeline.release_unsent()
                group.cancel_scope.cancel()
            writer.close()
        connection.execute(f"PRAGMA max_page_count = {MOST_PAGES}")  # the disk has room for this
        end_session(connection, catalog.session.id, "done" if done else "stopped")
        self._note(f"end {done}")
        return done

    async def _until_done(self, work: Work, pipeline: Pipeline, writer: Writer) -> None:
        """Until nothing is left to do; a person resumes what waits for one, or raises a budget and starts anew."""
        while True:
            await work.idle()
            troubles = [each for each in work.troubles() if " waits for " not in each]
            if not troubles:
                assert all(plan.done for plan in pipeline.plans), "idle, with work left and nothing to tell"
                if self.scenario.asks_again and not self.asked_again:
                    self.asked_again = True
                    await writer.do(_note_retry, None)
                    if (await pipeline.retry(self.folder / "state.db", Retry())).count:
                        self._tally["given-up samples are asked again"] += 1
                        continue
                return
            short = [trouble for trouble in troubles if " has no room " in trouble]
            if all("is used up" in trouble for trouble in troubles if trouble not in short):
                assert len(short) < len(troubles), f"nothing is waited for: {troubles}"
                assert self.capped, "short of money without a budget"
                ready = sum(teacher.queued for teacher in pipeline.teachers if teacher.available)
                assert ready == 0, f"{ready} jobs are paid for and ready, and the daemon stops for money"
                self.capped = False
                return
            await anyio.sleep(self.rng.uniform(1, PERSON_S))
            assert self.watch is not None
            self.watch.resuming()
            await pipeline.switch(task=None, teacher=None, paused=False)

    async def _act(self, pipeline: Pipeline) -> None:
        """What a person does at set times."""
        for at, what, whom in self.scenario.acts:
            if START + at >= self.now():
                await anyio.sleep(START + at - self.now())
                kind = what.removeprefix("pause").removeprefix("resume").strip()
                assert self.watch is not None
                self.watch.resuming()
                await pipeline.switch(
                    task=whom if kind == "task" else None,
                    teacher=whom if kind == "teacher" else None,
                    paused=what.startswith("pause"),
                )

    async def _signal(self, reload: Reload) -> None:
        """A user edits the configuration and sends SIGHUP; a daemon that cannot take it now finds it at its next start."""
        while self.user.edits and self.user.edits[0].signal:
            made = self.user.edits[0]
            await anyio.sleep(max(0.0, START + made.at - self.now()))
            self.user.edits.pop(0)
            if not self.user.edit(made, BY_SIGHUP):
                continue
            before = reload.config
            assert self.watch is not None
            self.watch.resuming()
            await reload.reload()
            if reload.config is before:
                self.seen[LOCKED_RELOAD] += 1
                continue
            self._epoch = next(self._epochs)
            for name, settings in reload.config.teachers.items():
                self.servers[name].charge(settings)
            self.watch.reloaded(reload.config)
            self._note(f"reloaded {made.what}")

    async def _reading(self, work: Callable[..., Any], *args: Any) -> Any:
        """Where a reload reads and writes: a disk that may be full, and a moment at which the daemon may be killed."""
        await self._moment("reload")
        if self._is_full and work.__name__ == "_synchronise":
            self.seen[FULL_RELOAD] += 1
            raise StateFailing("the disk is full")
        result = work(*args)
        if work.__name__ == "_synchronise":
            assert self.watch is not None
            self.watch.reloading()
            for name, settings in args[0].config.teachers.items():
                self.servers[name].announce(settings)
        return result

    @property
    def _is_full(self) -> bool:
        return any(START + at <= self.now() < START + at + length for at, length in self.scenario.full)

    async def _lock(self, database: Path, delay: float, length: float) -> None:
        """Another process holds the database for a while."""
        if delay < 0:
            return
        await anyio.sleep(delay)
        other = open_writer(database)
        try:
            other.execute("BEGIN IMMEDIATE")
            await anyio.sleep(length)
            other.execute("ROLLBACK")
        finally:
            other.close()

    async def _disk(self, transact: Callable[[], None]) -> None:
        """Where the writer's transactions run: a disk that takes its time, and may be gone."""
        await self._moment("commit due")
        await anyio.sleep(self.rng.expovariate(1 / self.scenario.disk_s))
        if self._dead:
            await anyio.sleep_forever()
        self._fill()
        try:
            transact()
        except sqlite.DatabaseError as error:
            self.seen[FULL] += getattr(error, "sqlite_errorcode", 0) == SQLITE_FULL
            raise
        assert self.watch is not None
        self._note(f"commit {self.watch.committed(self.now())}")
        await self._moment("commit done")
        await anyio.sleep(self.rng.uniform(0, 0.002))

    def _fill(self) -> None:
        """Lets the database grow no further while the disk is full, and grow again."""
        if self._is_full != self._full:
            assert self._connection is not None
            self._full = self._is_full
            pages = self._connection.execute("PRAGMA page_count").fetchone()[0] if self._full else MOST_PAGES
            self._connection.execute(f"PRAGMA max_page_count = {pages}")

    async def _moment(self, name: str) -> None:
        """A moment at which the daemon may be killed; a dead one gets no further."""
        death = self._death
        if death is not None and death.moment == name and not self._dead:
            self._count += 1
            if self._count == death.count:
                self._dead = True
                assert self._loop is not None
                self._loop.stop()
        if self._dead:
            await anyio.sleep_forever()
        if name != "commit due":
            self._note(name)

    def _note(self, what: str) -> None:
        if self._clock is not None:
            self._clock.happened()
        self._trace.update(f"{self.now():.9f} {what}\n".encode())


def _note_retry(connection: Connection, items: Sequence[None]) -> list[None]:
    """The row of the user's command, which a recount looks for."""
    for _ in items:
        connection.execute(
            "INSERT INTO command (kind, args, state, created_at) VALUES ('retry', '{}', 'done', 0)"
        )
    return [None] * len(items)


async def _inline(work: Callable[..., Any], *args: Any) -> Any:
    return work(*args)
