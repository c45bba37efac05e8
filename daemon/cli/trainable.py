"""Which samples of an export are training data, and how many are left out for which reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from engine.config import Config
from engine.curation.identity import identity
from engine.strategies.rationalize import HINTED
from state.sqlite import Connection
from state.training_samples import INCOMPLETE, active_task_ids, stored_questions

Row = Mapping[str, Any]

INCLUDABLE = {
    "dev": "of dev questions",
    "test": "of test questions",
    "overlap": "of training questions that are also in dev or test",
    "forbidden": "by teachers whose terms forbid training, or that are not in config.toml",
    "truncated": "truncated",
}
"""What `--include` takes, and what it is called in the count of what was left out."""


class TrainingData:
    """Chooses correct samples that may be trained on, and counts the others.

    Args:
        connection: an open reading connection.
        config: its teachers say whose samples are allowed.
        include: of `INCLUDABLE`, what is kept nevertheless.
        task: the only task of the export; held-out questions of the other tasks then do not count.
    """

    def __init__(
        self, connection: Connection, config: Config, include: Collection[str], task: str | None
    ) -> None:
        self._include = include
        self._allowed = {name for name, teacher in config.teachers.items() if teacher.training_allowed}
        self._held_out = {
            identity(question.text)
            for name, key in active_task_ids(connection).items()
            for split in ("dev", "test")
            if task in (None, name)
            for question in stored_questions(connection, key, split)
        }
        self._overlaps: dict[str, bool] = {}
        self._left_out: Counter[tuple[str, str]] = Counter()

    def of(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The rows that are training data, with the gold answer as the answer to learn."""
        for row in rows:
            reason = self._reason(row)
            if reason is None:
                yield {**row, "answer": row["gold"]}
            else:
                self._left_out[reason] += 1

    def left_out(self) -> list[str]:
        """What was left out so far, most of all first."""
        return [
            f"{count:,} {said}" + (f" (--include {name})" if name else "")
            for (said, name), count in self._left_out.most_common()
        ]

    def _reason(self, row: Row) -> tuple[str, str] | None:
        """Why a sample is left out, and the name by which it can be included."""
        for name in self._optional(row):
            if name not in self._include:
                return INCLUDABLE[name], name
        if not row["correct"]:
            return "wrong or not graded" if row["gold"] else "without a gold answer", ""
        if HINTED in row["flags"]:
            return "made with the answer as a hint", ""
        if any(flag in row["flags"] for flag in INCOMPLETE):
            return "not a whole answer", ""
        return None

    def _optional(self, row: Row) -> Iterator[str]:
        if row["split"] != "train":
            yield row["split"]
        elif self._is_held_out(row["question"]):
            yield "overlap"
        if row["teacher"] not in self._allowed:
            yield "forbidden"
        if row["finish_reason"] == "length" or "truncated" in row["flags"]:
            yield "truncated"

    def _is_held_out(self, question: str) -> bool:
        if question not in self._overlaps:
            self._overlaps[question] = identity(question) in self._held_out
        return self._overlaps[question]
