"""Sends batches: makes one of the queue, uploads its file, asks for its creation, and looks for one that may exist.

Invariants: a batch and whose attempts it holds are on disk before its file is uploaded, and that its
creation was asked for before it is asked; a creation that brought no answer is looked for at the provider
by its mark before it is asked again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from daemon.batches.batch_files import InputFile
from daemon.batches.make_batch import input_file, make_batch
from daemon.batches.outbox import FULL_DISK_S, REFUSALS, Outbox
from daemon.batches.outstanding import OutBatch
from daemon.events import batch_events
from engine.teachers.batch_api import BatchInfo
from engine.teachers.failures import Failure
from state.database import now_ms
from state.enums import BatchState

LOOKS_FOR_IT = 3
"""Looks at the provider's list that must not find a batch before its creation is asked for again."""


class BatchCreator:
    """Brings the batches of one key to the provider."""

    def __init__(self, outbox: Outbox, unseen: Callable[[OutBatch, Failure], Awaitable[None]]) -> None:
        """Sends nothing by itself; `unseen` handles a look that brought no answer."""
        self._outbox = outbox
        self._unseen = unseen

    async def send(self) -> None:
        """Makes a batch of what is in the queue: on disk first, then at the provider."""
        outbox = self._outbox
        outbox.wait.since = None
        try:
            with anyio.CancelScope(shield=True):  # what is written down is known to us, whatever ends
                made = await make_batch(outbox.teacher, outbox.link, outbox.key.label, outbox.shared)
                if made is not None:
                    outbox.batches.append(made[0])
        except OSError as error:
            outbox.disk_failed(error)
            outbox.wait.not_before = outbox.now() + FULL_DISK_S
            return
        if made is not None and not outbox.closed:
            await self.upload(*made)

    async def upload(self, batch: OutBatch, made: InputFile | None = None) -> None:
        """Uploads the batch's file, which is written again where it is not `made` already."""
        outbox = self._outbox
        if made is None:
            try:
                made = await input_file(outbox.link, list(batch.rows.values()))
            except OSError as error:
                outbox.disk_failed(error)
                outbox.later(batch, None)
                return
        with made.file as file:
            got = await outbox.link.client.upload(file, f"{batch.mark}.jsonl", key=outbox.secret)
        if isinstance(got, Failure):
            await self._not_taken(batch, got)
            return
        batch.input_file_id = got
        with anyio.CancelScope(shield=True):
            await outbox.write(batch, state=BatchState.CREATING, input_file_id=got)
        if not outbox.closed and not outbox.unwanted(batch):  # else the next look takes it back
            await self.create(batch)

    async def create(self, batch: OutBatch) -> None:
        """Asks the provider for the batch."""
        outbox = self._outbox
        batch.unsure = True  # until the provider has answered, whatever ends here
        got = await outbox.link.client.create(batch.input_file_id, batch.mark, key=outbox.secret)
        if isinstance(got, BatchInfo):
            await self._created(batch, got)
        elif got.kind in ("limited", "parked", "permanent") or not got.reached:
            batch.unsure = False  # refused: there is none
            await self._not_taken(batch, got)
        else:  # it may have been made
            outbox.count(got)
            batch.absent = 0
            batch.look_at = outbox.now() + max(outbox.link.poll_s, got.retry_after_s or 0.0)

    async def search(self, batch: OutBatch) -> None:
        """Looks for a batch whose creation brought no answer; asks for it again when it is surely not there."""
        outbox = self._outbox
        found = await outbox.link.client.find(batch.mark, batch.created_ms / 1000, key=outbox.secret)
        if isinstance(found, Failure):
            await self._unseen(batch, found)
            return
        if found is not None:
            outbox.emit(
                batch_events.BatchFound(teacher=outbox.teacher.name, batch_id=batch.id, provider_id=found.id)
            )
            await self._created(batch, found)
            return
        batch.absent += 1
        batch.look_at = outbox.now() + outbox.link.poll_s
        if batch.absent >= LOOKS_FOR_IT:
            batch.unsure, batch.absent, batch.look_at = False, 0, outbox.now()

    async def _created(self, batch: OutBatch, info: BatchInfo) -> None:
        outbox = self._outbox
        now, poll_s = outbox.now(), outbox.link.poll_s
        batch.state, batch.provider_id, batch.unsure, batch.refused = BatchState.LIVE, info.id, False, 0
        batch.status, batch.wait_s, batch.look_at = info.status, poll_s, now + poll_s
        outbox.locked_out, batch.sent_ms = False, now_ms()
        with anyio.CancelScope(shield=True):
            await outbox.write(
                batch, state=BatchState.LIVE, provider_id=info.id, status=info.status, sent_at=batch.sent_ms
            )
        outbox.teacher.meters.requests.add(now, batch.requests)
        outbox.emit(
            batch_events.BatchCreated(
                teacher=outbox.teacher.name,
                batch_id=batch.id,
                provider_id=info.id,
                requests=batch.requests,
            )
        )

    async def _not_taken(self, batch: OutBatch, failure: Failure) -> None:
        """The file or the batch was not taken; nothing of it was executed."""
        outbox = self._outbox
        outbox.count(failure)
        if failure.kind == "limited":
            batch.refused += 1
            alone = not any(each.state is BatchState.LIVE for each in outbox.batches)
            if batch.refused >= REFUSALS and alone and batch.requests > 1:  # it may be too large by itself
                await outbox.no_room(batch, failure.reason)
                return
            outbox.later(batch, failure.retry_after_s)
        elif failure.kind in ("parked", "permanent"):
            await outbox.failed(batch, failure.reason)
            outbox.park(failure.reason)
        else:
            outbox.later(batch, failure.retry_after_s)
