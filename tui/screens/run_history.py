"""What the monitor knows of a run: its row, the metrics it reported, the end of its log, and the curves made of them."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from state.run_reports import WEIGHT
from state.sqlite import Connection
from state.views.runs import EvaluationRow, MetricRow, RunDetail, run_detail, run_metrics
from state.views.status_records import Accuracy
from tui.charts import smoothed
from tui.plots import Line
from tui.text import one_line

LOG_BYTES = 64 * 1024
LOG_LINES = 300


@dataclass(frozen=True, slots=True)
class RunUpdate:
    """The result of one reading: the run, and its metrics after step `after`."""

    run: RunDetail | None
    metrics: list[MetricRow]
    after: int


@dataclass(slots=True)
class RunHistory:
    """The row and the metrics of a run; each reading adds the new metrics."""

    run: RunDetail | None = None
    metrics: list[MetricRow] = field(default_factory=list)

    def last_step(self, run: int) -> int:
        """The last known step of that run; -1 if nothing is known of it."""
        return self.metrics[-1].step if self.run is not None and self.run.id == run and self.metrics else -1

    def update(self, found: RunUpdate) -> None:
        """Takes the result of a reading."""
        if found.run is None:
            return
        if self.run is None or self.run.id != found.run.id or found.after < 0:
            self.metrics = list(found.metrics)
        elif not self.metrics or self.metrics[-1].step == found.after:
            self.metrics += found.metrics
        self.run = found.run

    def clear(self) -> None:
        """Forgets the run: the database was replaced."""
        self.run, self.metrics = None, []


def read_history(connection: Connection, run: int, after: int) -> RunUpdate:
    """Reads a run and its metrics after a step; all metrics if the run was restarted from the beginning."""
    found = run_detail(connection, run)
    if found is not None and found.step < after:
        return RunUpdate(found, run_metrics(connection, run), -1)
    return RunUpdate(found, run_metrics(connection, run, after), after)


def log_tail(base: Path, directory: str) -> str:
    """The last lines of `log.txt` in a run's directory (relative to `base`), or why there are none."""
    path = base / directory / "log.txt"
    if not directory:
        return "no log yet"
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe could block for ever
            return f"{path} is not a regular file"
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - LOG_BYTES))
            data = file.read(LOG_BYTES)
    except FileNotFoundError:
        return f"no log at {path}"
    except OSError as error:
        return f"{path}: {error.strerror}"
    lines = data.decode("utf-8", "replace").split("\n")
    # A progress bar rewrites its line with carriage returns: only its last state counts.
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines[-LOG_LINES:]).rstrip("\n")


OVERLAYS = ("teacher", "attention", "muted")
"""Roles of the other runs in a plot."""


def loss_curves(history: RunHistory, others: Sequence[RunHistory] = ()) -> list[Line]:
    """The smoothed loss by step of a run and of others; of one run alone also as reported."""
    found = []
    for role, each in reversed(list(zip(OVERLAYS, others, strict=False))):
        found.append(_loss(each, role))
    if not others and history.metrics:
        found.append(
            Line(
                x=[item.step for item in history.metrics],
                y=[item.loss for item in history.metrics],
                role="faint",
            )
        )
    return [line for line in (*found, _loss(history, "good")) if line.x]


def _loss(history: RunHistory, role: str) -> Line:
    values = smoothed([item.loss for item in history.metrics])
    name = f"run {history.run.id}" if history.run is not None else ""
    label = f"{name} {values[-1]:.2f}" if values else name
    return Line(x=[item.step for item in history.metrics], y=values, role=role, label=label)


def accuracy_curves(run: RunDetail, others: Sequence[RunDetail] = ()) -> list[Line]:
    """Accuracy on dev by epoch with its intervals, over the same of other runs, beside levels for teacher and base."""
    task = task_of(run)
    teacher = next((item for item in run.baselines if item.run is None), None)
    base = next((item for item in run.baselines if item.untrained), None)
    found = []
    if teacher is not None:
        found.append(_level("teacher", teacher.test, "teacher"))
    if base is not None:
        found.append(_level("base", base.test, "muted"))
    for role, other in reversed(list(zip(OVERLAYS, others, strict=False))):
        dev = _dev(other, task)
        if dev:
            found.append(
                Line(
                    x=[item.epoch for item in dev],
                    y=[item.accuracy for item in dev],
                    role=role,
                    label=f"run {other.id}",
                )
            )
    if dev := _dev(run, task):
        found.append(
            Line(
                x=[item.epoch for item in dev],
                y=[item.accuracy for item in dev],
                low=[item.low for item in dev],
                high=[item.high for item in dev],
                role="good",
                label=f"run {run.id}",
                dots=True,
            )
        )
    return found


WEIGHTS = ("accent", "attention", "teacher", "muted")
"""Roles of teachers in a plot."""


def weight_curves(history: RunHistory) -> list[Line]:
    """How much the rows of each teacher count, from 0 to 1 by epoch, where the run selects among them."""
    told = [item for item in history.metrics if item.extra]
    names = [name for name in (told[-1].extra if told else ()) if name.startswith(WEIGHT)]
    return [
        Line(
            x=[item.epoch for item in told],
            y=[item.extra.get(name, 0.0) for item in told],
            role=role,
            label=f"{one_line(name.removeprefix(WEIGHT), 20)} {told[-1].extra[name]:.2f}",
        )
        for role, name in zip(WEIGHTS, names, strict=False)
    ]


def _level(name: str, found: Accuracy, role: str) -> Line:
    label = f"{name} {100 * found.accuracy:.1f}"
    return Line(x=[], y=[found.accuracy], role=role, label=label, dashed=True)


def planned(run: RunDetail, metrics: Sequence[MetricRow]) -> tuple[float, float]:
    """Where a training is to end: its steps, and its epochs as far as they are known."""
    epochs = max((item.epoch for item in run.evaluations), default=0.0)
    last = metrics[-1] if metrics else None
    if last is not None and last.step and run.steps:
        epochs = max(epochs, last.epoch * run.steps / last.step)
    return float(max(run.steps, run.step)), epochs


def _dev(run: RunDetail, task: str) -> list[EvaluationRow]:
    return [item for item in run.evaluations if item.split == "dev" and item.task == task]


def task_of(run: RunDetail) -> str:
    """The task of the curve: the run's own, or the first one of a joint run."""
    names: Sequence[str] = [item.task for item in run.evaluations]
    return run.task if run.task in names or not names else names[0]
