from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.to_thread
import pytest

from daemon.events import (
    GatewayGaveUp,
    KeySuspended,
    LogprobsMissing,
    SampleFailed,
    SampleStored,
    TeacherCooling,
    TeacherRecovered,
)
from daemon.limits.evidence import PROBES_S
from daemon.limits.key_limits import KeyLimits
from daemon.sampling.attempt_runner import AttemptRunner
from daemon.sampling.budget import Budget
from daemon.sampling.cost_bounds import job_of
from daemon.sampling.first_answers import FIRST, UNSAID
from daemon.sampling.health import PERMANENT_PARKS
from daemon.sampling.job_queue import RetryQueue
from daemon.sampling.jobs import Job
from daemon.sampling.key_workers import KeyWorkers
from daemon.sampling.outcomes import MOST_UNKNOWN, OUTAGE_S, WAITING_THREADS, judge
from daemon.sampling.panels import Panels
from daemon.sampling.plans import ActivePlan
from daemon.sampling.teacher import Teacher
from engine.grading import Verdict
from engine.teachers.client import Answer
from engine.teachers.failures import Failure
from engine.teachers.keys import TeacherKey
from engine.teachers.messages import Completion, Usage
from state.claims import open_attempts
from tests.daemon.parts import Clock, Heard, active_plan, context_of, teacher_of, writing
from tests.state.world import World, check_counts, make

pytestmark = pytest.mark.anyio


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = make(tmp_path / "state.db", questions=30)
    yield found
    found.connection.close()


class Line:
    """A client that gives what was prepared, in order; it notes what was on disk when it was asked."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.results: list[Answer | Failure | BaseException] = []
        self.open_at_send: list[int] = []

    async def send(self, request: Any, *, request_id: str, key: Any) -> Answer | Failure:
        (count,) = self.world.row("SELECT count(*) FROM attempt WHERE outcome IS NULL")
        assert self.world.row("SELECT count(*) FROM attempt WHERE request_id = ?", request_id) == (request.n,)
        self.open_at_send.append(count)
        result = self.results.pop(0)
        if isinstance(result, BaseException):
            raise result
        return result


def answer(text: str, *, prompt: int = 10, completion: int = 5) -> Answer:
    usage = Usage(prompt_tokens=prompt, completion_tokens=completion)
    return Answer(
        raw=text.encode(),
        completions=[Completion(text=text, usage=usage)],
        status=200,
        headers=None,
        latency_s=0.1,
        provider_id="id",
    )


def failure(kind: Any, **more: Any) -> Failure:
    return Failure(kind=kind, reason=f"a {kind} failure", **more)


class Bench:
    def __init__(
        self,
        world: World,
        plan: ActivePlan,
        teacher: Teacher,
        workers: KeyWorkers,
        attempt_runner: AttemptRunner,
    ) -> None:
        self.world, self.plan, self.teacher, self.workers, self.attempt_runner = (
            world,
            plan,
            teacher,
            workers,
            attempt_runner,
        )
        self.line = Line(world)
        teacher.transport.connect(self.line, None)
        self.clock = Clock()
        self.heard = Heard()
        self.delayed: list[Job] = []
        self.poor: list[Job] = []
        self.parked: list[Teacher] = []
        self.held: list[str] = []
        self.others = False
        self.budget = Budget(None)

    def job(self, cost: int = 1000) -> Job:
        """A claimed sample, its money reserved as the scheduler does it."""
        (sample,) = self.world.claim(self.plan.id, 1, cost=cost).samples
        self.plan.state.claimed(1)
        self.budget.reserve(self.plan.id, self.teacher.id, cost)
        job = job_of(sample, self.plan)
        job.teacher = self.teacher.name
        return job

    def hold(self, plan: ActivePlan, reason: str) -> None:
        """What the scheduler does."""
        plan.state.hold(reason)
        self.held.append(reason)

    async def run(self, job: Job, *results: Answer | Failure | BaseException) -> None:
        self.line.results += results
        for _ in results:
            await self.attempt_runner.run(
                job, self.workers, self.workers.limits.take(self.clock.monotonic(), 10)
            )


@asynccontextmanager
async def carrying(world: World, **settings: Any) -> AsyncIterator[Bench]:
    plan = active_plan(world)
    teacher = teacher_of(world, usd_per_million_input=1.0, usd_per_million_output=2.0, **settings)
    async with writing(world) as writer:
        bench = Bench(world, plan, teacher, cast(KeyWorkers, None), cast(AttemptRunner, None))
        bench.budget.add_teacher(teacher.id, None)
        bench.budget.add_plan(plan.id, None)
        retry_queue = RetryQueue(bench.clock, bench.delayed.append)
        context = context_of(world, writer, budget=bench.budget, bus=bench.heard.bus, clock=bench.clock)
        bench.attempt_runner = AttemptRunner(
            context,
            retry_queue=retry_queue,
            out_of_money=bench.poor.append,
            parked=bench.parked.append,
            hold_plan=bench.hold,
            serves_others=lambda teacher, plan: bench.others,
            panels=Panels(context, lambda job: None, []),
        )
        limits = KeyLimits(bench.clock.monotonic())
        bench.workers = cast(KeyWorkers, teacher.transport.add_key(teacher, TeacherKey("", None), limits))
        yield bench
        assert limits.in_flight == 0
    check_counts(world)
    total = bench.budget.total
    assert world.row("SELECT sum(spent_micros), sum(reserved_micros), sum(unknown_micros) FROM plan") == (
        *(total.spent, total.reserved, total.unknown),
    )


async def test_two_turns_are_two_attempts_and_one_sample(world: World) -> None:
    async with carrying(world) as bench:
        job = bench.job()
        await bench.run(job, answer("Heads, then tails."), answer("yes"))
        assert bench.line.open_at_send == [1, 1]
        assert bench.plan.open == 0
        assert [event.correct for event in bench.heard.of(SampleStored)] == [True]
    assert world.row("SELECT state, verdict, cost_micros, attempts FROM sample") == ("stored", 1, 40, 0)
    assert world.rows("SELECT turn, outcome, cost_micros FROM attempt ORDER BY id") == [
        (0, "ok", 20),
        (1, "ok", 20),
    ]


async def test_limits_and_parks_use_up_nothing(world: World) -> None:
    async with carrying(world, max_attempts=1) as bench:
        job = bench.job()
        for _ in range(5):
            await bench.run(job, failure("limited", status=429, retry_after_s=1.0))
        await bench.run(job, failure("parked", status=401))
        assert (job.attempts, job.unknowns) == (0, 0)
        assert bench.parked == [bench.teacher]
        assert bench.teacher.health.parked == "a parked failure"
        assert bench.teacher.queued == 6
        assert bench.heard.of(SampleFailed) == []
    assert world.row("SELECT state, attempts, cost_micros FROM sample") == ("open", 0, 0)


async def test_a_sample_is_given_up_after_its_last_attempt(world: World) -> None:
    async with carrying(world, max_attempts=3) as bench:
        job = bench.job()
        await bench.run(
            job, failure("transient", status=500), failure("malformed", status=200, raw=b"<html>")
        )
        assert world.row("SELECT state FROM sample") == ("open",)
        await bench.run(job, failure("transient", status=500, reached=False))  # never sent: no attempt burned
        assert (job.attempts, bench.plan.open) == (2, 1)
        await bench.run(job, failure("transient", status=503))
        (event,) = bench.heard.of(SampleFailed)
        assert event.reason == "3 attempts failed; the last: a transient failure"
        assert bench.plan.open == 0
    assert world.row("SELECT state, attempts, reason FROM sample") == ("failed", 3, event.reason)
    assert world.row("SELECT count(*) FROM completion") == (1,)


async def test_an_error_at_once_beside_answers_is_a_refusal_and_uses_up_nothing(world: World) -> None:
    async with carrying(world, max_attempts=1) as bench:
        limits, clock = bench.workers.limits, bench.clock
        for _ in range(3):  # a server that answers within a second
            one = limits.take(clock.now, 10)
            clock.now += 1
            limits.succeeded(one, clock.now, 10)
        others = [limits.take(clock.now, 10) for _ in range(6)]
        job = bench.job()
        await bench.run(job, failure("transient", status=503))
        assert (job.attempts, bench.teacher.queued) == (0, 1)
        assert limits.cap == 6, "as many as are answered"
        for other in others:
            limits.released(other)
    assert world.rows("SELECT outcome, status FROM attempt") == [("limited", 503)]


async def test_what_is_refused_by_chance_waits_by_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with carrying(world) as bench:
        monkeypatch.setattr(
            KeyLimits, "limited", lambda limits, reservation, *_, **__: limits.released(reservation) or 2.0
        )
        job = bench.job()
        await bench.run(job, failure("limited", status=429, retry_after_s=2.0))
        assert bench.teacher.queued == 0, "it is not asked at once"
        assert len(bench.attempt_runner._retry_queue) == 1
        assert job.attempts == 0


async def test_without_open_files_there_are_fewer_at_once_and_nothing_is_held_against_the_teacher(
    world: World,
) -> None:
    async with carrying(world, max_attempts=1) as bench:
        job, limits = bench.job(), bench.workers.limits
        others = [limits.take(bench.clock.monotonic(), 10) for _ in range(7)]
        assert limits.cap > 7
        for _ in range(30):
            await bench.run(job, failure("transient", reached=False, scope="concurrency"))
        assert limits.cap <= 7, "no fewer at once"
        assert not bench.teacher.health.cooling and bench.teacher.health.failing == "" and job.attempts == 0
        for other in others:
            limits.released(other)
    assert world.row("SELECT DISTINCT state, attempts, cost_micros FROM sample") == ("open", 0, 0)


async def test_while_nobody_is_answered_no_sample_is_given_up(world: World) -> None:
    async with carrying(world, max_attempts=2) as bench:
        job = bench.job()
        for _ in range(12):
            bench.teacher.health.failed("why", bench.clock.monotonic())
        for _ in range(6):
            await bench.run(job, failure("transient", status=503))
        assert (job.attempts, bench.plan.open) == (6, 1)
        bench.clock.now += OUTAGE_S
        await bench.run(job, failure("transient", status=503))
        (event,) = bench.heard.of(SampleFailed)
        assert event.reason == "7 attempts failed; the last: a transient failure"


async def test_a_passed_cap_holds_back_what_was_claimed_ahead(world: World) -> None:
    async with carrying(world) as bench:
        job = bench.job()
        bench.budget.total.cap = bench.budget.total.used - 1
        await bench.attempt_runner.run(
            job, bench.workers, bench.workers.limits.take(bench.clock.monotonic(), 10)
        )
        assert bench.poor == [job] and job.attempt is None
    assert world.row("SELECT outcome, cost_micros FROM attempt") == ("released", 0)


@pytest.mark.parametrize("change", ["budget", "withdrawn", "held"])
async def test_what_changes_while_a_further_attempt_is_stored_holds_it_back(
    world: World, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with carrying(world, max_attempts=20) as bench:
        job = bench.job()
        await bench.run(job, failure("transient", status=502))
        stored_before = bench.attempt_runner.attempts._writer.do

        async def store(batch: Any, item: Any) -> Any:
            if batch is open_attempts:
                if change == "budget":
                    bench.budget.total.cap = 1
                elif change == "withdrawn":
                    bench.plan.state.disable()
                else:
                    bench.hold(bench.plan, "its prompt is refused")
            return await stored_before(batch, item)

        monkeypatch.setattr(bench.attempt_runner.attempts._writer, "do", store)
        await bench.attempt_runner.run(
            job, bench.workers, bench.workers.limits.take(bench.clock.monotonic(), 10)
        )
        assert job.attempt is None and len(bench.line.open_at_send) == 1, "it was not sent"
        assert (bench.poor == [job]) is (change == "budget")
        assert bench.budget.total.reserved == 0
    assert world.rows("SELECT outcome, cost_micros FROM attempt ORDER BY id") == [
        ("transient", 0),
        ("released", 0),
    ]


async def test_a_teacher_that_fails_and_recovers_is_told_of(world: World) -> None:
    async with carrying(world, max_attempts=20) as bench:
        job = bench.job()
        for _ in range(10):
            await bench.run(job, failure("transient", status=502))
        (cooling,) = bench.heard.of(TeacherCooling)
        assert cooling.message().startswith("a keeps failing: a transient failure. One request at a time")
        assert bench.teacher.heartbeat(bench.clock.monotonic()).reason == "a transient failure"
        await bench.run(job, answer("yes"))
        (recovered,) = bench.heard.of(TeacherRecovered)
        assert recovered.message().startswith("a answers again, after ")


async def test_what_may_have_been_billed_is_unknown_and_tried_three_times(world: World) -> None:
    async with carrying(world) as bench:
        job = bench.job()
        await bench.run(job, failure("ambiguous"))
        assert world.row("SELECT outcome, cost_micros, unknown_micros, estimated FROM attempt") == (
            *("unknown", 0, 1000, 1),
        )
        used = bench.workers.limits.rates.tokens.used
        assert used(bench.clock.monotonic()) == 10, "tokens that may have been billed count against the limit"
        for _ in range(MOST_UNKNOWN - 1):
            await bench.run(job, failure("ambiguous"))
        assert bench.plan.open == 0
    state, unknowns, reason = world.row("SELECT state, unknowns, reason FROM sample")
    assert (state, unknowns) == ("failed", 3)
    assert "requests got no answer" in reason


async def test_a_sample_that_was_cut_off_often_is_not_given_up_for_anothers_fault(world: World) -> None:
    async with carrying(world, max_attempts=2) as bench:
        job = bench.job()
        job.unknowns, job.attempts = MOST_UNKNOWN, 2  # over many starts, with a lower limit now
        await bench.run(job, failure("limited", status=429), failure("transient", reached=False))
        assert bench.heard.of(SampleFailed) == []
        await bench.run(job, answer("because"), answer("yes"))
    assert world.row("SELECT state FROM sample") == ("stored",)


async def test_a_refused_request_fails_its_sample_and_many_in_a_row_park_the_teacher(world: World) -> None:
    async with carrying(world) as bench:
        for number in range(PERMANENT_PARKS):
            assert bench.parked == []
            await bench.run(bench.job(), failure("permanent", status=400, blame="request"))
            if number == 0:
                assert world.row("SELECT state, reason FROM sample") == ("failed", "a permanent failure")
        assert bench.parked == [bench.teacher]
        assert "20 requests in a row were rejected" in bench.teacher.health.parked


async def test_an_answer_between_two_refusals_starts_the_count_anew(world: World) -> None:
    async with carrying(world) as bench:
        for _ in range(PERMANENT_PARKS - 1):
            await bench.run(bench.job(), failure("permanent", status=400, blame="request"))
        await bench.run(bench.job(), answer("because"), answer("yes"))
        await bench.run(bench.job(), failure("permanent", status=400, blame="request"))
        assert bench.parked == []


async def test_without_money_for_its_next_turn_a_job_waits(world: World) -> None:
    async with carrying(world) as bench:
        job = bench.job()
        await bench.run(job, answer("because"))
        bench.budget.total.cap = bench.budget.total.used
        bench.line.results = [answer("never asked for")]
        await bench.attempt_runner.run(
            job, bench.workers, bench.workers.limits.take(bench.clock.monotonic(), 10)
        )
        assert bench.poor == [job]
        assert len(bench.line.results) == 1
    assert world.row("SELECT count(*) FROM attempt") == (1,)


async def test_a_request_that_is_cut_off_is_unknown_and_so_is_its_money(world: World) -> None:
    async with carrying(world) as bench:
        job = bench.job()
        bench.line.results = [KeyboardInterrupt()]
        reservation = bench.workers.limits.take(bench.clock.monotonic(), 10)
        with pytest.raises(KeyboardInterrupt):
            await bench.attempt_runner.run(job, bench.workers, reservation)
        bench.workers.limits.released(reservation)
    assert world.row("SELECT outcome, cost_micros, unknown_micros, reason FROM attempt") == (
        *("unknown", 0, 1000, "the daemon stopped before an answer"),
    )


async def test_an_attempt_that_is_not_going_to_be_sent_gives_its_money_back(world: World) -> None:
    async with carrying(world) as bench:
        job = bench.job()
        await bench.attempt_runner.attempts.release(job, bench.teacher)
        await bench.attempt_runner.attempts.release(job, bench.teacher)  # nothing is left to take back
        assert bench.budget.total.used == 0
        await bench.run(job, answer("because"))  # a new attempt of its own
    assert world.rows("SELECT outcome FROM attempt ORDER BY id") == [("released",), ("ok",)]


async def test_a_retry_waits_its_time_and_comes_back(world: World) -> None:
    async with carrying(world) as bench:
        retry_queue = bench.attempt_runner._retry_queue
        job = bench.job()
        await bench.run(job, failure("transient", status=500, retry_after_s=500.0))
        assert len(retry_queue) == 1
        async with anyio.create_task_group() as group:
            await group.start(retry_queue.serve)
            for seconds, back in ((0.0, []), (400.0, []), (101.0, [job])):  # no backoff is that long
                bench.clock.now += seconds
                retry_queue.put(job, 1000.0)  # it looks at the clock
                await anyio.wait_all_tasks_blocked()
                assert bench.delayed == back
            group.cancel_scope.cancel()


async def test_mathematical_answers_are_judged_off_the_loop_in_threads_of_their_own(monkeypatch) -> None:
    released, verdicts = threading.Event(), []

    def slow(*_: Any, **__: Any) -> Verdict:
        return Verdict(correct=released.wait(3), extracted=None, reason="waited")

    async def one() -> None:
        verdicts.append((await judge("1", "2", "math", "")).correct)

    monkeypatch.setattr("daemon.sampling.outcomes.grade", slow)
    threads = anyio.to_thread.current_default_thread_limiter()
    async with anyio.create_task_group() as tasks:
        for _ in range(WAITING_THREADS + 2):
            tasks.start_soon(one)
        await anyio.wait_all_tasks_blocked()
        assert threads.borrowed_tokens == 0
        released.set()
    assert verdicts == [True] * (WAITING_THREADS + 2)


async def test_missing_log_probabilities_are_told_once(world: World) -> None:
    async with carrying(world) as bench:
        for logprobs in (0, 2, 2):
            job = bench.job()
            job.conversation.request = replace(job.request, logprobs=logprobs)
            await bench.run(job, answer("Heads."), answer("yes"))
            told = [event.message() for event in bench.heard.of(LogprobsMissing)]
            assert len(told) == (1 if logprobs else 0), "only where they were asked for"
        assert told[0].startswith("a returns no log-probabilities: its samples are stored without them.")


async def test_one_refusal_among_answers_parks_nobody_and_its_sample_is_asked_again(world: World) -> None:
    async with carrying(world) as bench:
        await bench.run(bench.job(), answer("because"), answer("yes"))
        job = bench.job()
        await bench.run(job, failure("parked", status=401, blame="key"))
        assert bench.parked == [] and len(bench.attempt_runner._retry_queue) == 1
        await bench.run(bench.job(), answer("because"), answer("yes"))
        await bench.run(job, answer("because"), answer("yes"))
    assert world.row("SELECT count(*), sum(attempts) FROM sample WHERE state = 'stored'") == (3, 0)


async def test_a_key_that_was_answered_is_suspended_and_parked_only_after_its_probes(world: World) -> None:
    async with carrying(world) as bench:
        await bench.run(bench.job(), answer("because"), answer("yes"))
        bench.clock.now += 1.0
        for _ in range(2):
            await bench.run(bench.job(), failure("parked", status=403, blame="key"))
        said = []
        for wait in PROBES_S:
            (event,) = bench.heard.of(KeySuspended)[len(said) :]
            said.append(event.seconds)
            now = bench.teacher.heartbeat(bench.clock.monotonic())
            assert now.state == "cooling" and now.reason.startswith("a parked failure; tried again in ")
            assert bench.parked == []
            bench.clock.now += wait
            await bench.run(bench.job(), failure("parked", status=403, blame="key"))
        assert said == list(PROBES_S) and bench.parked == [bench.teacher]
    assert world.row("SELECT sum(attempts), sum(unknowns) FROM sample") == (0, 0)


async def test_a_suspended_key_that_is_answered_goes_on(world: World) -> None:
    async with carrying(world) as bench:
        await bench.run(bench.job(), answer("because"), answer("yes"))
        bench.clock.now += 1.0
        for _ in range(2):
            await bench.run(bench.job(), failure("parked", status=404, blame="key"))
        bench.clock.now += 60.0
        await bench.run(bench.job(), answer("because"))
        (recovered,) = bench.heard.of(TeacherRecovered)
        assert recovered.seconds == 60.0
        assert bench.teacher.heartbeat(bench.clock.monotonic()).state == "ready"


async def test_money_parks_a_key_without_a_schedule(world: World) -> None:
    async with carrying(world) as bench:
        await bench.run(bench.job(), answer("because"), answer("yes"))
        bench.clock.now += 1.0
        for _ in range(2):
            assert bench.parked == []
            await bench.run(bench.job(), failure("parked", status=402, blame="money"))
        assert bench.parked == [bench.teacher] and bench.heard.of(KeySuspended) == []


@pytest.mark.parametrize(("kind", "blame"), [("limited", ""), ("parked", "key"), ("parked", "money")])
async def test_what_is_refused_for_itself_is_given_up_and_holds_up_nobody(
    world: World, kind: str, blame: str
) -> None:
    async with carrying(world, max_attempts=3) as bench:
        job, limits = bench.job(), bench.workers.limits
        limits.rates.requests.configure(bench.clock.monotonic(), 60)
        tries = 0
        while not bench.heard.of(SampleFailed):
            tries += 1
            assert tries < 12, "refused for ever"
            bench.clock.now += 1.0
            await bench.run(job, failure(kind, status=403, blame=blame, retry_after_s=5.0))
            if tries > 1:
                assert limits.ready_at(bench.clock.monotonic(), 10) > bench.clock.monotonic(), (
                    "it keeps no pace"
                )
                assert limits.pause_left(bench.clock.monotonic()) == 0, "the others wait for it"
                assert bench.teacher.queue.head() is not job
            bench.teacher.queue.take(10)
            for _ in range(2):
                bench.clock.now += 6.0
                await bench.run(bench.job(), answer("because"), answer("yes"))
        assert tries >= 3
        (event,) = bench.heard.of(SampleFailed)
        assert event.reason.endswith(f"times while others were not; the last: a {kind} failure")
        assert bench.parked == []
    assert world.row("SELECT count(*) FROM sample WHERE state = 'failed'") == (1,)


async def test_a_refused_setting_parks_at_once_and_gives_nothing_up(world: World) -> None:
    async with carrying(world) as bench:
        await bench.run(bench.job(), failure("parked", status=422, blame="setting"))
        assert bench.parked == [bench.teacher] and bench.held == []
        assert bench.teacher.health.parked == "a parked failure"
    assert world.row("SELECT state, attempts FROM sample") == ("open", 0)


async def test_a_refused_setting_holds_its_plan_where_others_are_served(world: World) -> None:
    async with carrying(world) as bench:
        bench.others = True
        await bench.run(bench.job(), failure("parked", status=422, blame="setting"))
        assert bench.parked == [] and bench.held == ["a parked failure"]
        job = bench.job()
        reservation = bench.workers.limits.take(bench.clock.monotonic(), 10)
        await bench.attempt_runner.run(job, bench.workers, reservation)  # taken before it was held
    assert world.rows("SELECT outcome FROM attempt ORDER BY id") == [("parked",), ("released",)]


async def test_a_rejection_without_a_reason_gives_nobody_up_before_anyone_is_answered(world: World) -> None:
    async with carrying(world) as bench:
        for number in range(UNSAID):
            assert bench.parked == [], number
            await bench.run(bench.job(), failure("permanent", status=400))
        assert bench.parked == [bench.teacher]
        assert bench.teacher.health.parked.startswith(
            "5 requests in a row were rejected, and none was answered"
        )
    assert world.rows("SELECT DISTINCT state FROM sample") == [("open",)]


async def test_a_rejection_without_a_reason_fails_its_sample_where_others_are_answered(world: World) -> None:
    async with carrying(world) as bench:
        job = bench.job()
        await bench.run(bench.job(), answer("because"), answer("yes"))
        bench.clock.now += 1.0
        await bench.run(job, failure("permanent", status=400))
        assert bench.heard.of(SampleFailed) == [], "not known yet"
        bench.clock.now += 1.0
        await bench.run(bench.job(), answer("because"), answer("yes"))
        await bench.run(job, failure("permanent", status=400))
        assert len(bench.heard.of(SampleFailed)) == 1 and bench.parked == []


async def test_the_last_sample_is_given_up_if_its_plan_was_answered_before(world: World) -> None:
    async with carrying(world, max_attempts=4) as bench:
        job = bench.job()
        bench.teacher.first_answers(job.plan).answered = True  # in an earlier session
        for _ in range(4):
            assert bench.heard.of(SampleFailed) == []
            await bench.run(job, failure("permanent", status=400))
        (event,) = bench.heard.of(SampleFailed)
        assert event.reason.startswith("refused 4 times with nothing else left to ask; the last: ")
        assert bench.parked == bench.held == []


async def test_what_is_rejected_again_after_a_resume_is_given_up(world: World) -> None:
    no = failure("permanent", status=400)
    async with carrying(world) as bench:
        jobs = [bench.job() for _ in range(UNSAID)]
        for job in jobs:
            await bench.run(job, no)
        assert bench.heard.of(SampleFailed) == []
        bench.teacher.unpark(bench.clock.monotonic())
        await bench.run(jobs[0], no)
        (event,) = bench.heard.of(SampleFailed)
        assert event.reason.startswith("rejected again after a resume; the last: ")
        await bench.run(bench.job(), no)
        assert len(bench.heard.of(SampleFailed)) == 1, "one that was not rejected before"


async def test_the_last_sample_is_given_up_if_its_key_refuses_it_for_hours(world: World) -> None:
    no = failure("parked", status=403, blame="key")
    async with carrying(world, max_attempts=6) as bench:
        job = bench.job()
        await bench.run(bench.job(), answer("because"), answer("yes"))
        for quarters in (0, 0, 0, *[1] * 7):
            bench.clock.now += quarters * 900.0 + 1.0
            await bench.run(job, no)
            bench.teacher.unpark(bench.clock.monotonic())
        assert bench.heard.of(SampleFailed) == []
        bench.clock.now += 900.0
        await bench.run(job, no)
        (event,) = bench.heard.of(SampleFailed)
        assert event.reason.startswith("refused 11 times in hours; the last: ")


async def test_what_is_refused_for_long_is_asked_less_and_less_often(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with carrying(world, max_attempts=100) as bench:
        waits: list[float] = []
        monkeypatch.setattr(
            bench.attempt_runner._retry_queue, "put", lambda _, seconds: waits.append(seconds)
        )
        job = bench.job()
        await bench.run(bench.job(), answer("because"), answer("yes"))
        for _ in range(40):
            bench.clock.now += 30.0
            await bench.run(job, failure("parked", status=403, blame="key"))
            bench.teacher.unpark(bench.clock.monotonic())
    assert len(waits) == 40 and max(waits[:2]) <= 5 < 20 < max(waits[20:]) <= 60


async def test_the_first_answers_hold_a_plan_that_is_of_no_use(world: World) -> None:
    async with carrying(world) as bench:
        for _ in range(FIRST):
            cut = answer("It")
            cut.completions[0].finish_reason = "length"
            assert bench.held == []
            await bench.run(bench.job(), cut)
        assert bench.held == ["20 of 20 answers were cut at max_tokens = 256: raise max_tokens"]


async def test_a_late_gateway_error_may_have_been_billed_and_the_timeout_is_told(world: World) -> None:
    async with carrying(world) as bench:
        for _ in range(3):
            await bench.run(bench.job(), failure("transient", status=504, latency_s=60.0))
        (event,) = bench.heard.of(GatewayGaveUp)
        assert "a gateway gives up after 60 s" in event.message() and "stream = true" in event.message()
        await bench.run(bench.job(), failure("transient", status=504, latency_s=0.01))
        for _ in range(7):
            await bench.run(bench.job(), failure("transient", status=504, latency_s=60.0))
        now = bench.teacher.heartbeat(bench.clock.monotonic())
        assert now.state == "cooling", "a storm of them stops"
        assert "a gateway gives up after 60 s: raise its timeout, or set stream = true" in now.reason
    assert world.rows("SELECT outcome, unknown_micros, estimated FROM attempt ORDER BY id")[2:5] == [
        ("unknown", 1000, 1),
        ("transient", 0, 0),
        ("unknown", 1000, 1),
    ]


async def test_what_the_sampled_text_caused_is_tried_again_and_counted(world: World) -> None:
    async with carrying(world, max_attempts=2) as bench:
        job = bench.job()
        await bench.run(job, failure("transient", status=400, blame="sample"))
        assert job.attempts == 1 and bench.teacher.health.failing == ""
        await bench.run(job, failure("transient", status=400, blame="sample"))
        assert len(bench.heard.of(SampleFailed)) == 1
