"""The samples of plans as they are stored, for a repository of a model hub: right and wrong ones, by plan and split."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping

from daemon.cli.hub_layout import SPLITS
from engine.config import Config
from engine.errors import UsageError
from engine.export_formats import Row
from state.checksums import Damaged
from state.edits import stored_plans
from state.exports import samples
from state.sqlite import Connection


class RawSamples:
    """The samples that `--samples` asks for. Those of teachers whose terms forbid training are left out and counted."""

    def __init__(
        self,
        connection: Connection,
        config: Config,
        arguments: argparse.Namespace,
        damaged: list[Damaged],
    ) -> None:
        """Reads nothing of them yet.

        Args:
            connection: an open reading connection.
            config: its teachers say whose samples are allowed.
            arguments: those of `coterie export`.
            damaged: gets the damaged rows, which are left out.

        Raises:
            UsageError: there is no such plan.
        """
        self._connection, self._task, self._damaged = connection, arguments.task, damaged
        self._allowed = {name for name, teacher in config.teachers.items() if teacher.training_allowed}
        plans = stored_plans(connection)
        known = list(dict.fromkeys(plan.name for plan in plans))
        active = {plan.name for plan in plans if plan.active}
        for name in arguments.samples:
            if name not in (*known, "*"):
                raise UsageError(
                    f"--samples: there is no plan {name!r}; there are: {', '.join(known) or 'none'}"
                )
        self._plans = [
            name
            for name in known
            if name in arguments.samples or ("*" in arguments.samples and name in active)
        ]
        self._forbidden: Counter[str] = Counter()
        self.ids: set[int] = set()
        """Those that were read."""

    def by_plan(self) -> Mapping[str, Mapping[str, Iterator[Row]]]:
        """Plan and split to rows, which are read when they are written."""
        return {plan: {split: self._rows(plan, split) for split in SPLITS} for plan in self._plans}

    def left_out(self) -> list[str]:
        """What was left out, by plan."""
        return [
            f"{count:,} samples of {plan}: by teachers whose terms forbid training, or that are not in config.toml"
            for plan, count in self._forbidden.items()
        ]

    def _rows(self, plan: str, split: str) -> Iterator[Row]:
        for row in samples(self._connection, self._task, plan=plan, split=split, damaged=self._damaged):
            if row["teacher"] in self._allowed:
                self.ids.add(row["sample_id"])
                yield row
            else:
                self._forbidden[plan] += 1
