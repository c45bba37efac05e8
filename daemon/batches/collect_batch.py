"""Looks at the batches of one key that are out, and fetches and stores their answers once they have ended.

Invariant: a batch is over on disk only when every row of it is.
"""

from __future__ import annotations

from tempfile import TemporaryFile

import anyio

from daemon.batches.batch_rows import Tally
from daemon.batches.fetch_batch import Fetch
from daemon.batches.outbox import Outbox
from daemon.batches.outstanding import OutBatch
from engine.teachers.batch_api import BatchInfo
from engine.teachers.failures import Failure
from state.database import now_ms
from state.enums import BatchState

STATES = {"completed": BatchState.COMPLETED, "expired": BatchState.EXPIRED}
LOOKS_FOR_ROWS = 3
"""Downloads after which a row that is in neither file counts as lost."""
KEPT_MS = 30 * 86_400_000
"""How long a provider keeps a batch and its files: one that is not found later is gone."""


class BatchCollector:
    """Brings the answers of one key's batches home."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def poll(self, batch: OutBatch) -> None:
        """Asks how far a batch is; fetches its rows when it has ended."""
        outbox = self._outbox
        info = await outbox.link.client.look(batch.provider_id, key=outbox.secret)
        if isinstance(info, Failure):
            await self.unseen(batch, info)
            return
        outbox.locked_out = False
        if (info.status, info.completed + info.failed) != (batch.status, batch.done):
            batch.status, batch.done = info.status, info.completed + info.failed
            with anyio.CancelScope(shield=True):
                await outbox.write(
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
            outbox.later(batch, None)

    async def unseen(self, batch: OutBatch, failure: Failure) -> None:
        """A look brought no answer: it is repeated later, or the key is parked."""
        outbox = self._outbox
        outbox.count(failure)
        gone = failure.status == 404 and batch.state is BatchState.LIVE
        if gone and (outbox.teacher.config.builtin or now_ms() - batch.created_ms > KEPT_MS):
            why = "the provider does not have its batch any more"
            await self._finish(self._fetching(batch), BatchState.EXPIRED, why, lost=True)
        elif failure.kind in ("parked", "permanent"):
            outbox.locked_out = True
            outbox.later(batch, None)
            outbox.park(f"batch {batch.provider_id or batch.id} cannot be looked at: {failure.reason}")
        else:
            outbox.later(batch, failure.retry_after_s)

    async def _fetch(self, batch: OutBatch, info: BatchInfo) -> None:
        """Stores the rows of a batch that has ended; then it is over."""
        outbox, fetch = self._outbox, self._fetching(batch)
        for file_id in (info.output_file_id, info.error_file_id):
            if file_id is not None and not await self._download(
                fetch, file_id, file_id == info.output_file_id
            ):
                return
            if outbox.closed:
                return  # the rest is fetched by the next daemon
        if info.status == "failed":
            await outbox.refused(batch, info.errors)
            return
        lost = bool(batch.rows) and fetch.tally.lacks(info)
        if lost and batch.misses + 1 < LOOKS_FOR_ROWS:
            batch.misses += 1
            outbox.later(batch, None)
            return
        await self._finish(fetch, STATES.get(info.status, BatchState.CANCELLED), lost=lost)

    def _fetching(self, batch: OutBatch) -> Fetch:
        outbox = self._outbox
        return Fetch(
            batch,
            outbox.teacher,
            outbox.shared.settler,
            Tally(sent_ms=batch.sent_ms),
            outbox.secrets,
        )

    async def _download(self, fetch: Fetch, file_id: str, output: bool) -> bool:
        """Stores the rows of a file; False where it could not be read."""
        outbox, batch = self._outbox, fetch.batch
        try:
            with TemporaryFile() as file:
                failure = await outbox.link.client.download(file_id, file, key=outbox.secret)
                if failure is None:
                    await fetch.store(file, output=output, going=lambda: not outbox.closed)
                    return True
        except OSError as error:
            outbox.disk_failed(error)
            outbox.later(batch, None)
            return False
        if failure.status == 404 and now_ms() - batch.created_ms > KEPT_MS:
            return True  # gone: its rows are lost
        await self.unseen(batch, failure)
        return False

    async def _finish(self, fetch: Fetch, state: BatchState, reason: str = "", *, lost: bool) -> None:
        """Every row that is left is lost or given back; then the batch is over."""
        outbox, batch, tally = self._outbox, fetch.batch, fetch.tally
        with anyio.CancelScope(shield=True):
            if lost:
                await fetch.lose(reason or "the batch ended, and this row's answer was in none of its files")
            tally.returned += len(batch.rows)
            await outbox.end(batch, state, reason)
        outbox.emit(tally.event(outbox.teacher.name, batch.id, state))
        outbox.settled(batch, tally)
