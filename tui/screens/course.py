"""A run as the monitor knows it: its row and what it reported, step by step, read on from where it was left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from state.sqlite import Connection
from state.views.runs import MetricRow, RunDetail, run_detail, run_metrics
from tui.meter import smoothed
from tui.widgets.loss_plot import Line


@dataclass(frozen=True, slots=True)
class News:
    """What one reading brought of a run; the metrics are those after step `after`."""

    run: RunDetail | None
    metrics: list[MetricRow]
    after: int


@dataclass(slots=True)
class LearningCurve:
    """A run's row and metrics."""

    run: RunDetail | None = None
    metrics: list[MetricRow] = field(default_factory=list)

    def after(self, run: int) -> int:
        """The step from which on nothing is known of that run."""
        return self.metrics[-1].step if self.run is not None and self.run.id == run and self.metrics else -1

    def learn(self, news: News) -> None:
        """Takes what was read."""
        if news.run is None:
            return
        if self.run is None or self.run.id != news.run.id or news.after < 0:
            self.metrics = list(news.metrics)
        elif not self.metrics or self.metrics[-1].step == news.after:
            self.metrics += news.metrics
        self.run = news.run

    def forget(self) -> None:
        """Another database."""
        self.run, self.metrics = None, []


def read_course(connection: Connection, run: int, after: int) -> News:
    """A run and its metrics after a step; all of them where it was started again from the beginning."""
    found = run_detail(connection, run)
    if found is not None and found.step < after:
        return News(found, run_metrics(connection, run), -1)
    return News(found, run_metrics(connection, run, after), after)


def losses(
    course: LearningCurve, style: str = "one", label: str = "smoothed", *, raw: bool = True
) -> list[Line]:
    """The loss over the steps, as it is and smoothed."""
    steps, values = [item.step for item in course.metrics], [item.loss for item in course.metrics]
    soft = Line(steps, smoothed(values), style, label)
    return [Line(steps, values, "raw", "loss"), soft] if raw else [soft]


def accuracies(run: RunDetail) -> list[Line]:
    """Accuracy by epoch, and across it what it must beat: the teacher, and the best other student."""
    dev = [item for item in run.evaluations if item.split == "dev" and item.task == _task(run)]
    test = [item for item in run.evaluations if item.split == "test" and item.task == _task(run)]
    if not dev and not test:
        return []
    last = max(item.epoch for item in (*dev, *test)) or 1.0
    teacher = next((item for item in run.baselines if item.name.startswith("teacher")), None)
    other = next((item for item in run.baselines if item.name.startswith("run ")), None)
    found = [
        Line([0.0, last], [item.accuracy] * 2, style, label)  # in full they stand below the plot
        for item, style, label in (
            (teacher, "other", "teacher"),
            (other, "raw", " ".join(other.name.split()[:2]) if other is not None else ""),
        )
        if item is not None
    ]
    if dev:
        epochs = [item.epoch for item in dev]
        found.insert(0, Line(epochs, [item.accuracy for item in dev], "one", "dev", dots=True))
    if test:
        found.append(Line([test[-1].epoch], [test[-1].accuracy], "mark", "test"))
    return found


def _task(run: RunDetail) -> str:
    """The task of its curve: its own, or the first one of a joint run."""
    names: Sequence[str] = [item.task for item in run.evaluations]
    return run.task if run.task in names or not names else names[0]
