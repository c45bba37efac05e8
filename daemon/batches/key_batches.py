"""One key of a teacher that speaks `openai-batch`: collects requests, hands them over as files, fetches the answers.

Invariants: a batch and whose attempts it holds are on disk before its file is uploaded, and that its
creation was asked for before it is asked; a creation that brought no answer is looked for at the provider
by its mark before it is asked again; a batch is over on disk only when every row of it is. One thing
at a time: a key looks, stores or sends. It outlives nothing: a batch that is out when the daemon ends is
taken up by the next one (`resuming.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from tempfile import TemporaryFile
from typing import Any

import anyio
from anyio.abc import TaskStatus

from daemon import events
from daemon.batches.batch_files import InputFile
from daemon.batches.batch_rows import Tally
from daemon.batches.batch_teacher import BatchTeacher
from daemon.batches.fetch_batch import Fetch
from daemon.batches.make_batch import input_file, make_batch
from daemon.batches.outstanding import Mood, OutBatch, Shared
from daemon.events import batch_events as batch_events
from daemon.events.batch_events import ended
from daemon.limits.key_limits import KeyLimits, Reservation
from daemon.sampling.jobs import Job
from daemon.sampling.key_workers import KeyWorkers
from daemon.sampling.plans import ActivePlan
from engine.teachers.dialects.openai_batch import BatchError, BatchInfo, refusal
from engine.teachers.failures import Failure
from engine.teachers.keys import TeacherKey, redact
from state.batches import BatchChange, BatchEnd, change_batches, end_batches
from state.database import now_ms
from state.enums import BatchState

FULL_DISK_S = 60.0
STATES = {"completed": BatchState.COMPLETED, "expired": BatchState.EXPIRED}
GROW, MOST_GROWN = 1.5, 15
"""How waits between looks grow, and to how many times the first."""
LOOKS_FOR_IT = 3
"""Looks at the provider's list that must not find a batch before its creation is asked for again."""
LOOKS_FOR_ROWS = 3
"""Downloads after which a row that is in neither file is taken for lost."""
REFUSALS = 3
"""Batches refused in a row for a passing cause, after which a person is asked."""
KEPT_MS = 30 * 86_400_000
"""How long a provider keeps a batch and its files: one that is not found later is gone."""


class KeyBatches(KeyWorkers):
    """A key and its batches."""

    teacher: BatchTeacher

    def __init__(self, teacher: BatchTeacher, key: TeacherKey, limits: KeyLimits, shared: Shared) -> None:
        super().__init__(teacher, key, limits, shared.clock, _single)
        self.batches: list[OutBatch] = []
        self.under_way = False
        """Whether something is on the wire or being stored."""
        self.blind = False
        """Whether the last look was refused, so that only a person can help."""
        self.heir: KeyBatches | None = None
        """Takes over what is out when this key is no longer used."""
        self._shared = shared
        self._mood = Mood()

    # What others see

    @property
    def rows_out(self) -> int:
        """Rows that are not settled."""
        return sum(len(batch.rows) for batch in self.batches)

    def rows_of(self, plan: ActivePlan) -> int:
        """Rows of a plan that are not settled."""
        return sum(row.job.plan is plan for batch in self.batches for row in batch.rows.values())

    @property
    def has_room(self) -> bool:
        """Whether a further batch could be sent."""
        return not self._closed and not self.limits.parked and len(self.batches) < self.teacher.most_out

    def take_up(self, batch: OutBatch) -> None:
        """A batch that is out, of an earlier daemon."""
        self.batches.append(batch)

    def look_soon(self) -> None:
        """Looks at every batch at once, and sends without waiting out a refusal."""
        now = self._clock.monotonic()
        for batch in self.batches:
            batch.look_at = now
        self._mood = Mood()
        self.blind = False
        self.teacher.changed.notify()

    # The loop

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Looks at batches and sends further ones until `close` was called."""
        task_status.started()
        while not self._closed:
            work = self._next_work()
            if work is not None:
                self.under_way = True
                try:
                    await work()
                finally:
                    self.under_way = False
                continue
            await self.teacher.changed.wait(self._pause_s())
        if self.heir is not None:
            self.heir.batches += self.batches
            self.batches = []
            self.teacher.changed.notify()

    def _next_work(self) -> Callable[[], Awaitable[None]] | None:
        now = self._clock.monotonic()
        for batch in self.batches:
            if batch.look_at <= now:
                return partial(self._look, batch)
        return self._send if self._ripe(now) else None

    def _pause_s(self) -> float | None:
        now = self._clock.monotonic()
        times = [batch.look_at for batch in self.batches]
        if self.teacher.queued:
            times.append(now + 0.1)  # claims and caps tell nobody that they have nothing to give
        return max(0.0, min(times) - now) if times else None

    def _ripe(self, now: float) -> bool:
        """Whether what is in the queue is to be sent now."""
        teacher, mood = self.teacher, self._mood
        if not teacher.queued:
            mood.since = None
            return False
        mood.since = now if mood.since is None else mood.since
        if not teacher.available or not self.has_room or now < max(mood.not_before, self._paused_until(now)):
            return False
        if teacher.queued >= teacher.size:
            return True
        if any(workers.under_way for workers in teacher.each_key()):
            return False  # rows that are being stored bring further ones
        return self._shared.dry(teacher) or now - mood.since >= teacher.config.batch_wait_seconds

    def _paused_until(self, now: float) -> float:
        return now + self.limits.pause_left(now) if self.limits.pause_left(now) > 0 else 0.0

    async def _look(self, batch: OutBatch) -> None:
        """Whatever is next for a batch."""
        batch.look_at = self._clock.monotonic() + batch.wait_s  # whatever happens, not at once again
        sent = batch.state is BatchState.LIVE or batch.unsure
        if not sent and self._unwanted(batch):
            await self._end(
                batch, BatchState.FAILED, "not sent: a plan or the teacher is gone, or a cap was lowered"
            )
        elif not sent and self.teacher.paused:
            self._later(batch, None)
        elif batch.state is BatchState.NEW:
            await self._upload(batch)
        elif batch.state is BatchState.CREATING:
            await (self._search(batch) if batch.unsure else self._create(batch))
        else:
            await self._poll(batch)

    def _unwanted(self, batch: OutBatch) -> bool:
        """Whether a batch that could not be sent so far is not to be sent any more as it is."""
        room = self._shared.ledger.room
        plans = {row.job.plan for row in batch.rows.values()}
        return self.teacher.retired or any(
            plan.retired or room(plan.id, self.teacher.id) < 0 for plan in plans
        )

    # Making a batch

    async def _send(self) -> None:
        """Makes a batch of what is in the queue: on disk first, then at the provider."""
        self._mood.since = None
        try:
            with anyio.CancelScope(shield=True):  # what is written down is known to us, whatever ends
                made = await make_batch(self.teacher, self.key.label, self._shared)
                if made is not None:
                    self.batches.append(made[0])
        except OSError as error:
            self._note_disk(error)
            self._mood.not_before = self._clock.monotonic() + FULL_DISK_S
            return
        if made is not None and not self._closed:
            await self._upload(*made)

    async def _upload(self, batch: OutBatch, made: InputFile | None = None) -> None:
        if made is None:
            try:
                made = await input_file(self.teacher, list(batch.rows.values()))
            except OSError as error:
                self._note_disk(error)
                self._later(batch, None)
                return
        with made.file as file:
            got = await self.teacher.batch_client.upload(file, f"{batch.mark}.jsonl", key=self.key.secret)
        if isinstance(got, Failure):
            await self._not_taken(batch, got)
            return
        batch.input_file_id = got
        with anyio.CancelScope(shield=True):
            await self._write(batch, state=BatchState.CREATING, input_file_id=got)
        if not self._closed and not self._unwanted(batch):  # else the next look takes it back
            await self._create(batch)

    async def _create(self, batch: OutBatch) -> None:
        batch.unsure = True  # until the provider has answered, whatever ends here
        got = await self.teacher.batch_client.create(batch.input_file_id, batch.mark, key=self.key.secret)
        if isinstance(got, BatchInfo):
            await self._born(batch, got)
        elif got.kind in ("limited", "parked", "permanent") or not got.reached:
            batch.unsure = False  # refused: there is none
            await self._not_taken(batch, got)
        else:  # it may have been made
            self._count(got)
            batch.absent = 0
            batch.look_at = self._clock.monotonic() + max(self.teacher.poll_s, got.retry_after_s or 0.0)

    async def _search(self, batch: OutBatch) -> None:
        """Looks for a batch whose creation brought no answer; asks for it again when it is surely not there."""
        found = await self.teacher.batch_client.find(batch.mark, batch.created_ms / 1000, key=self.key.secret)
        if isinstance(found, Failure):
            await self._unseen(batch, found)
            return
        if found is not None:
            self._shared.bus.emit(
                batch_events.BatchFound(teacher=self.teacher.name, batch_id=batch.id, provider_id=found.id)
            )
            await self._born(batch, found)
            return
        batch.absent += 1
        batch.look_at = self._clock.monotonic() + self.teacher.poll_s
        if batch.absent >= LOOKS_FOR_IT:
            batch.unsure, batch.absent, batch.look_at = False, 0, self._clock.monotonic()

    async def _born(self, batch: OutBatch, info: BatchInfo) -> None:
        now = self._clock.monotonic()
        batch.state, batch.provider_id, batch.unsure, batch.refused = BatchState.LIVE, info.id, False, 0
        batch.status, batch.wait_s, batch.look_at = (
            info.status,
            self.teacher.poll_s,
            now + self.teacher.poll_s,
        )
        self.blind = False
        with anyio.CancelScope(shield=True):
            await self._write(
                batch, state=BatchState.LIVE, provider_id=info.id, status=info.status, sent_at=now_ms()
            )
        self.teacher.figures.requests.add(now, batch.requests)
        self._shared.bus.emit(
            batch_events.BatchCreated(
                teacher=self.teacher.name, batch_id=batch.id, provider_id=info.id, requests=batch.requests
            )
        )

    async def _not_taken(self, batch: OutBatch, failure: Failure) -> None:
        """The file or the batch was not taken; nothing of it was executed."""
        self._count(failure)
        if failure.kind == "limited":
            batch.refused += 1
            alone = not any(each.state is BatchState.LIVE for each in self.batches)
            if batch.refused >= REFUSALS and alone and batch.requests > 1:  # it may be too large by itself
                await self._no_room(batch, failure.reason)
                return
            self._later(batch, failure.retry_after_s)
        elif failure.kind in ("parked", "permanent"):
            await self._end(batch, BatchState.FAILED, failure.reason)
            self._tell_failed(batch, failure.reason)
            self._park(failure.reason)
        else:
            self._later(batch, failure.retry_after_s)

    # Looking at a batch

    async def _poll(self, batch: OutBatch) -> None:
        info = await self.teacher.batch_client.look(batch.provider_id, key=self.key.secret)
        if isinstance(info, Failure):
            await self._unseen(batch, info)
            return
        self.blind = False
        if (info.status, info.completed + info.failed) != (batch.status, batch.done):
            batch.status, batch.done = info.status, info.completed + info.failed
            with anyio.CancelScope(shield=True):
                await self._write(
                    batch,
                    status=info.status,
                    completed=info.completed,
                    failed=info.failed,
                    output_file_id=info.output_file_id,
                    error_file_id=info.error_file_id,
                    looked_at=now_ms(),
                )
        if info.ended:
            await self._fetch(batch, info)
        else:
            self._later(batch, None)

    async def _unseen(self, batch: OutBatch, failure: Failure) -> None:
        """A look brought no answer: later again, or a person is asked."""
        self._count(failure)
        gone = failure.status == 404 and batch.state is BatchState.LIVE
        if gone and (self.teacher.config.builtin or now_ms() - batch.created_ms > KEPT_MS):
            why = "the provider does not have its batch any more"
            await self._finish(self._fetching(batch), BatchState.EXPIRED, why, lost=True)
        elif failure.kind in ("parked", "permanent"):
            self.blind = True
            self._later(batch, None)
            self._park(f"batch {batch.provider_id or batch.id} cannot be looked at: {failure.reason}")
        else:
            self._later(batch, failure.retry_after_s)

    async def _fetch(self, batch: OutBatch, info: BatchInfo) -> None:
        """Stores the rows of a batch that has ended; then it is over."""
        fetch = self._fetching(batch)
        for file_id in (info.output_file_id, info.error_file_id):
            if file_id is not None and not await self._download(
                fetch, file_id, file_id == info.output_file_id
            ):
                return
            if self._closed:
                return  # the rest is fetched by the next daemon
        if info.status == "failed":
            await self._refused(batch, info.errors)
            return
        lost = bool(batch.rows) and fetch.tally.lacks(info)
        if lost and batch.misses + 1 < LOOKS_FOR_ROWS:
            batch.misses += 1
            self._later(batch, None)
            return
        await self._finish(fetch, STATES.get(info.status, BatchState.CANCELLED), lost=lost)

    def _fetching(self, batch: OutBatch) -> Fetch:
        secret = self.key.secret.get_secret_value() if self.key.secret is not None else ""
        return Fetch(batch, self.teacher, self._shared.settler, Tally(), secret)

    async def _download(self, fetch: Fetch, file_id: str, output: bool) -> bool:
        """Stores the rows of a file; False where it could not be read."""
        batch = fetch.batch
        try:
            with TemporaryFile() as file:
                failure = await self.teacher.batch_client.download(file_id, file, key=self.key.secret)
                if failure is None:
                    await fetch.store(file, output=output, going=lambda: not self._closed)
                    return True
        except OSError as error:
            self._note_disk(error)
            self._later(batch, None)
            return False
        if failure.status == 404 and now_ms() - batch.created_ms > KEPT_MS:
            return True  # gone: its rows are lost
        await self._unseen(batch, failure)
        return False

    # The end of a batch

    async def _finish(self, fetch: Fetch, state: BatchState, reason: str = "", *, lost: bool) -> None:
        """Every row that is left is lost or given back; then the batch is over."""
        batch, tally = fetch.batch, fetch.tally
        with anyio.CancelScope(shield=True):
            if lost:
                await fetch.lose(reason or "the batch ended, and this row's answer was in none of its files")
            tally.returned += len(batch.rows)
            await self._end(batch, state, reason)
        self._shared.bus.emit(ended(self.teacher.name, batch.id, state, tally))
        mood = self._mood
        mood.not_before = 0.0
        if tally.parked:
            self._park(tally.parked)
        elif tally.hopeless:
            self._park(
                f"{tally.permanent} requests of batch {batch.provider_id} were refused, none was answered"
            )
        elif tally.answered:
            mood.strikes = 0
        elif tally.failed or tally.missing:  # a batch for nothing: the next one takes its time
            mood.strikes += 1
            mood.not_before = self._clock.monotonic() + self._grown(mood.strikes)

    async def _end(self, batch: OutBatch, state: BatchState, reason: str) -> None:
        """The batch is over on disk; rows that are open were never executed and are asked again."""
        with anyio.CancelScope(shield=True):
            await self._shared.writer.do(end_batches, BatchEnd(batch_id=batch.id, state=state, reason=reason))
            rows, batch.rows = batch.rows, {}
            self.batches.remove(batch)
            for row in rows.values():
                self._shared.settler.returned(self.teacher, row)

    async def _refused(self, batch: OutBatch, errors: tuple[BatchError, ...]) -> None:
        """The provider refused the batch as a whole, after it had taken it."""
        kind, reason = refusal(errors)
        if self.key.secret is not None:
            reason = redact(reason, (self.key.secret.get_secret_value(),))
        if kind == "no-room":
            await self._no_room(batch, reason)
            return
        await self._end(batch, BatchState.FAILED, reason)
        self._tell_failed(batch, reason)
        self._mood.strikes += 1
        if kind == "passing" and self._mood.strikes < REFUSALS:
            self._mood.not_before = self._clock.monotonic() + self._grown(self._mood.strikes)
        else:
            self._park(reason)

    async def _no_room(self, batch: OutBatch, reason: str) -> None:
        """The provider's queue is full: later again, and smaller where this batch was alone in it."""
        mood, teacher = self._mood, self.teacher
        mood.strikes += 1
        seconds = self._grown(mood.strikes)
        mood.not_before = self._clock.monotonic() + seconds
        if len(self.batches) == 1:
            teacher.size = max(1, min(teacher.size, batch.requests // 2))
        await self._end(batch, BatchState.FAILED, reason)
        self._shared.bus.emit(
            batch_events.BatchWaits(
                teacher=teacher.name,
                batch_id=batch.id,
                requests=batch.requests,
                seconds=seconds,
                reason=reason,
            )
        )

    def _park(self, reason: str) -> None:
        if self.limits.parked:
            return
        self.limits.park(reason)
        if self.teacher.park_if_all_are():
            self._shared.parked(self.teacher)

    # Small things

    def _later(self, batch: OutBatch, told_s: float | None) -> None:
        batch.look_at = self._clock.monotonic() + max(batch.wait_s, told_s or 0.0)
        batch.wait_s = min(batch.wait_s * GROW, self.teacher.poll_s * MOST_GROWN)

    def _grown(self, times: int) -> float:
        return self.teacher.poll_s * min(float(MOST_GROWN), 2.0 ** (times - 1))

    def _count(self, failure: Failure) -> None:
        self.teacher.figures.errors[failure.kind] += 1
        if failure.kind == "limited":
            self.teacher.figures.limited.add(self._clock.monotonic())

    async def _write(self, batch: OutBatch, *, state: BatchState | None = None, **values: Any) -> None:
        if state is not None:
            batch.state = state
            values["state"] = state.value
        await self._shared.writer.do(change_batches, BatchChange(batch_id=batch.id, values=values))

    def _note_disk(self, error: OSError) -> None:
        what = (
            f"{self.teacher.name}: a batch's temporary file cannot be written ({error.strerror}); tried again"
        )
        if what not in self._mood.told:
            self._mood.told.add(what)
            self._shared.bus.emit(events.Noted(what=what))

    def _tell_failed(self, batch: OutBatch, reason: str) -> None:
        self._shared.bus.emit(
            batch_events.BatchFailed(
                teacher=self.teacher.name, batch_id=batch.id, requests=batch.requests, reason=reason
            )
        )


async def _single(job: Job, workers: KeyWorkers, reservation: Reservation) -> None:
    raise AssertionError("a key of batches sends no single request")
