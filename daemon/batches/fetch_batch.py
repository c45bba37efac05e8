"""Reads the files of a batch that has ended, line by line, and marks rows that are in no file as lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

import anyio
import anyio.to_thread

from daemon.batches.batch_files import lines_of
from daemon.batches.batch_rows import Settler, Tally
from daemon.batches.outstanding import CHUNK, OutBatch
from daemon.sampling.teacher import Teacher
from engine.teachers.batch_api import read_row
from engine.teachers.failures import MalformedAnswer
from engine.teachers.keys import without


@dataclass(frozen=True, slots=True)
class Fetch:
    """One batch whose rows are being stored; `secrets` are removed from all stored text."""

    batch: OutBatch
    teacher: Teacher
    settler: Settler
    tally: Tally
    secrets: tuple[str, ...]

    async def store(self, file: BinaryIO, *, output: bool, going: Callable[[], bool]) -> None:
        """Stores the rows of a file, some at a time, as long as `going`.

        Args:
            file: the downloaded file.
            output: whether it is the output file (not the error file).
            going: false once the daemon stops; the next one stores the rest.
        """
        await anyio.to_thread.run_sync(file.seek, 0)
        while going() and (lines := await anyio.to_thread.run_sync(lines_of, file, CHUNK)):
            with anyio.CancelScope(shield=True):
                async with anyio.create_task_group() as group:
                    for raw in lines:
                        raw = without(raw, self.secrets)
                        try:
                            row = read_row(raw)
                        except MalformedAnswer:
                            continue  # the row is unknown: it will count as missing
                        if output:
                            self.tally.seen.add(row.custom_id)
                        out = self.batch.rows.pop(row.custom_id, None)
                        if out is not None:  # else it is stored already
                            group.start_soon(
                                self.settler.settle, self.teacher, out, row, raw, self.tally, self.secrets
                            )

    async def lose(self, reason: str) -> None:
        """The remaining rows may have been executed, and their answers are lost."""
        rows, self.batch.rows = list(self.batch.rows.values()), {}
        for start in range(0, len(rows), CHUNK):
            async with anyio.create_task_group() as group:
                for row in rows[start : start + CHUNK]:
                    group.start_soon(self.settler.lost, self.teacher, row, reason, self.tally)
