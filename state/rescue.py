"""Keeps results of requests that a lost database cannot take: one JSON object per line, in a file among its backups.

They were paid for. Nothing reads the file back: a database that is restored asks its open samples again.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from state.database_file import rescued
from state.enums import Outcome
from state.outcomes import AttemptResult, record, record_groups


class Rescue:
    """The file of rescued results; it exists once there is one."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self.file: Path | None = None
        self.kept = 0
        """Results in the file."""

    def take(self, batch: Any, item: Any) -> bool:
        """Keeps an item of the writer if it is a result; then it is on disk."""
        if batch is record_groups:
            self._write(item)
        elif batch is record:
            self._write([item])
        else:
            return False
        return True

    def _write(self, results: Sequence[AttemptResult]) -> None:
        lines = [json.dumps(_line(each)) + "\n" for each in results if each.outcome is not Outcome.RELEASED]
        if not lines:
            return
        try:
            self._append(lines, self.file or rescued(self._database, ".jsonl"))
        except OSError:  # its disk is read-only or gone
            name = f"{self._database.stem}-rescued-{os.getpid()}.jsonl"
            self._append(lines, Path(tempfile.gettempdir()) / name)
        self.kept += len(lines)

    def _append(self, lines: list[str], path: Path) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        self.file = path


def _line(result: AttemptResult) -> dict[str, Any]:
    return {
        "attempt_id": result.attempt_id,
        "sample_id": result.sample_id,
        "outcome": result.outcome.value,
        "reason": result.reason,
        "provider_id": result.provider_id,
        "cost_usd": result.cost_micros / 1e6,
        "prompt_tokens": result.prompt_tokens,
        "completion_tokens": result.completion_tokens,
        "body": None if result.raw is None else result.raw.decode("utf-8", "replace"),
    }
