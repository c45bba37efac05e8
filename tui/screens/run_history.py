"""What the monitor knows of a run: its row, the metrics it reported, the end of its log, and the curves made of them."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from state.sqlite import Connection
from state.views.runs import MetricRow, RunDetail, run_detail, run_metrics
from tui.charts import smoothed
from tui.plots import Line

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


def loss_curves(
    history: RunHistory, role: str = "accent", label: str = "smoothed", *, raw: bool = True
) -> list[Line]:
    """The loss by step, as reported and smoothed."""
    steps, values = [item.step for item in history.metrics], [item.loss for item in history.metrics]
    smooth = Line(x=steps, y=smoothed(values), role=role, label=label)
    return [Line(x=steps, y=values, role="faint", label="loss"), smooth] if raw else [smooth]


def accuracy_curves(run: RunDetail) -> list[Line]:
    """Accuracy by epoch with its intervals, beside levels for the teacher and the other run that is best on dev."""
    dev = [item for item in run.evaluations if item.split == "dev" and item.task == _task(run)]
    test = [item for item in run.evaluations if item.split == "test" and item.task == _task(run)]
    if not dev and not test:
        return []
    teacher = next((item for item in run.baselines if item.name.startswith("teacher")), None)
    other = next((item for item in run.baselines if item.name.startswith("run ")), None)
    found = [
        Line(
            x=[], y=[item.test.accuracy], role=role, label=label, dashed=True
        )  # full names are below the plot
        for item, role, label in (
            (teacher, "teacher", "teacher"),
            (other, "muted", " ".join(other.name.split()[:2]) if other is not None else ""),
        )
        if item is not None
    ]
    for role, label, evaluations in (("accent", "dev", dev), ("good", "test", test[-1:])):
        if evaluations:
            found.append(
                Line(
                    x=[item.epoch for item in evaluations],
                    y=[item.accuracy for item in evaluations],
                    low=[item.low for item in evaluations],
                    high=[item.high for item in evaluations],
                    role=role,
                    label=label,
                    dots=True,
                )
            )
    return found


def _task(run: RunDetail) -> str:
    """The task of the curve: the run's own, or the first one of a joint run."""
    names: Sequence[str] = [item.task for item in run.evaluations]
    return run.task if run.task in names or not names else names[0]
