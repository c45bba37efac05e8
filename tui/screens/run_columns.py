"""The list of runs: its rows and columns."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rich.text import Text

from state.views.format import interval, percent
from state.views.status_records import RunStatus
from tui.text import one_line, say, state_word
from tui.widgets.columns import Column


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run, and whether it is marked."""

    run: RunStatus
    marked: bool

    def matches(self, words: str) -> bool:
        """Whether it matches a filter."""
        run = self.run
        text = f"{run.id} {run.student} {run.state} {run.method}".lower()
        for word in words.lower().split():
            key, _, value = word.partition(":")
            if key == "task" and value:
                if run.task not in (value, "joint"):
                    return False
            elif word not in text and word not in run.task.lower():
                return False
        return True


COLUMNS: tuple[Column[RunRow], ...] = (
    Column("", 1, lambda row: state_word(row.run.state)[:1], to_width=99),
    Column("state", 11, lambda row: state_word(row.run.state), from_width=100),
    Column(
        "run",
        4,
        lambda row: say(("*", "attention") if row.marked else "", (str(row.run.id), "bold")),
        "right",
    ),
    Column(
        "student",
        0,
        lambda row: one_line(row.run.student),
        from_width=44,
        whole=True,
        sort_by={"student": lambda row: (row.run.student, -row.run.id)},
    ),
    Column("task", 14, lambda row: say((one_line(row.run.task), "muted")), from_width=44),
    Column(
        "task",
        0,
        lambda row: one_line(row.run.task),
        to_width=43,
        whole=True,
        sort_by={"task": lambda row: (row.run.task, -row.run.id)},
    ),
    Column(
        "test",
        7,
        lambda row: _result(row.run),
        "right",
        sort_by={"accuracy": lambda row: -(row.run.accuracy if row.run.accuracy is not None else -1.0)},
    ),
    Column("95 %", 12, lambda row: _interval(row.run), "right", from_width=60),
    Column(
        "n", 6, lambda row: f"{row.run.test.n:,}" if row.run.test is not None else "", "right", from_width=100
    ),
    Column("rows", 7, lambda row: f"{row.run.samples:,}", "right", from_width=100),
    Column(
        "MB",
        7,
        lambda row: _millions(row.run.bytes),
        "right",
        from_width=170,
        sort_by={"bytes": lambda row: row.run.bytes or math.inf},
    ),
    Column(
        "MFLOPs",
        8,
        lambda row: _millions(row.run.flops_per_question),
        "right",
        from_width=170,
        sort_by={"FLOPs": lambda row: row.run.flops_per_question or math.inf},
    ),
)


def _millions(value: float | None) -> str:
    return "" if value is None else f"{value / 1e6:,.1f}"


def _interval(run: RunStatus) -> Text:
    test = run.test
    shown = interval(test.accuracy, test.low, test.high).partition(" ")[2] if test is not None else ""
    return say((shown, "muted"))


def _result(run: RunStatus) -> Text:
    """Its accuracy on test; before that how far it is, or what keeps it."""
    if run.test is not None:
        return say((f"{100 * run.test.accuracy:.1f}", "bold good"))
    if run.active and run.steps:
        return say((percent(run.step / run.steps), "accent"))
    return say((run.state, {"failed": "bad", "queued": "attention"}.get(run.state, "muted")))
