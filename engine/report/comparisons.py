"""The table of comparisons: arms in pairs on the same test questions, and Holm's correction over all of its lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from engine.config.experiment import ExperimentConfig
from engine.report.accuracy_table import newest_runs, text_table
from engine.report.intervals import ONE_SEED
from engine.report.matrix import Point, at_base
from engine.report.paired import Difference, Runs, compare, holm
from engine.strategies import BASELINES
from state.confidence_interval import percent
from state.figure_data import FigureData
from state.results import Results
from state.safe import safe

MOST = 8
"""Arms of a task whose pairs are all listed."""

READING = (
    "Each line is a difference of accuracies in points on the same test questions, with its 95 % interval. One seed each:"
    " Newcombe's interval, and the p of McNemar's exact test on the questions that only one of the two answers correctly."
    " Several seeds: interval and p of a mixed model over questions and seeds."
)

Arms = Mapping[str, Runs]
"""The arms of a task by name: the answers of each of their runs."""


def differences(
    results: Results,
    figure_data: FigureData,
    experiment: ExperimentConfig | None = None,
    found: Sequence[Point] = (),
) -> str:
    """The comparisons, with how to read them; empty where there are none.

    Without a list of planned comparisons, all pairs of a task's students: of an experiment those at the base of all axes.

    Args:
        results: the runs.
        figure_data: their answers, and those of teachers.
        experiment: its configuration, with the planned comparisons.
        found: its points.
    """
    lines, left_out = _compared(results, figure_data, experiment, found)
    if not lines and not left_out:
        return ""
    planned = bool(experiment and experiment.compare)
    body = [[line.task, f"{line.first} – {line.second}", *_cells(line)] for line in lines]
    head = ["task", "compared", "difference (95 % interval)", "p", "p (Holm)", "seeds"]
    head += ["only the first", "only the second", "n"]
    parts = [text_table(head, body, left=2) if body else "", " ".join(left_out)]
    if body:
        parts.append(_reading(lines, planned=planned))
    return safe("\n\n".join(part for part in parts if part))


@dataclass(frozen=True, slots=True)
class Compared:
    """Two arms on a task. `difference` is None while one is not measured; `corrected` is the p of Holm's correction."""

    task: str
    first: str
    second: str
    difference: Difference | None
    corrected: float

    @property
    def said(self) -> str:
        """The difference in points with its interval."""
        each = self.difference
        return (
            f"{_signed(each.points)} ({_signed(each.low)} to {_signed(each.high)})"
            if each
            else "not measured"
        )

    @property
    def said_p(self) -> str:
        """The corrected p."""
        return _p(self.corrected) if self.difference else "–"


def planned_comparisons(
    results: Results, figure_data: FigureData, experiment: ExperimentConfig, found: Sequence[Point]
) -> list[Compared]:
    """The planned comparisons of an experiment, in the order of its `compare`, task by task."""
    return _compared(results, figure_data, experiment, found)[0] if experiment.compare else []


def _compared(
    results: Results, figure_data: FigureData, experiment: ExperimentConfig | None, found: Sequence[Point]
) -> tuple[list[Compared], list[str]]:
    planned = [(first, second) for first, second in experiment.compare] if experiment else []
    tasks: dict[str, Arms] = {}
    for task in results.tasks:
        if experiment is None:
            tasks[task.name] = _students(results, figure_data, task.name)
        elif any(point.task == task.name for point in found):
            tasks[task.name] = _arms(experiment, found, figure_data, task.name, all_of_them=bool(planned))
    lines, left_out = _lines(tasks, planned)
    adjusted = holm([1.0 if line[3] is None else line[3].p for line in lines])
    return [Compared(*line, corrected) for line, corrected in zip(lines, adjusted, strict=True)], left_out


_Line = tuple[str, str, str, Difference | None]
"""Task, the arms, and their difference."""


def _lines(tasks: Mapping[str, Arms], planned: Sequence[tuple[str, str]]) -> tuple[list[_Line], list[str]]:
    lines: list[_Line] = []
    left_out = []
    for task, arms in tasks.items():
        if not planned and len(arms) > MOST:
            left_out.append(f"{task} has {len(arms)} students: with more than {MOST}, pairs are not listed.")
            continue
        pairs = planned or [(second, first) for first, second in combinations(arms, 2)]
        for first, second in pairs:
            each = compare(arms.get(first, ()), arms.get(second, ()))
            if planned or each is not None:
                lines.append((task, first, second, each))
    return lines, left_out


def _students(results: Results, figure_data: FigureData, task: str) -> Arms:
    runs = next((newest_runs(each, results) for each in results.tasks if each.name == task), [])
    return {
        run.student: [figure_data.answers[run.run_id, task]]
        for run in runs
        if (run.run_id, task) in figure_data.answers
    }


def _arms(
    experiment: ExperimentConfig,
    found: Sequence[Point],
    figure_data: FigureData,
    task: str,
    *,
    all_of_them: bool,
) -> Arms:
    arms: dict[str, Runs] = {}
    for point in found:
        if point.task != task:
            continue
        if point.cell.method in BASELINES:
            if all_of_them and (point.cell.plan, task) in figure_data.teacher_answers:
                arms[point.name] = [figure_data.teacher_answers[point.cell.plan, task]]
        elif point.runs and (all_of_them or at_base(point, experiment)):
            answers = [figure_data.answers.get((run.run_id, task), {}) for run in point.runs]
            arms[point.name] = [each for each in answers if each]
    return arms


def _cells(line: Compared) -> list[str]:
    each = line.difference
    if each is None:
        return [line.said, *["–"] * 6]
    one = each.seeds == (1, 1)
    seeds = str(each.seeds[0]) if each.seeds[0] == each.seeds[1] else f"{each.seeds[0]} and {each.seeds[1]}"
    alone = [str(each.only_first), str(each.only_second)] if one else ["–", "–"]
    return [line.said, _p(each.p), line.said_p, seeds, *alone, f"{each.n:,}"]


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _signed(share: float) -> str:
    text = percent(abs(share))
    return text if text == "0.0" else f"{'+' if share > 0 else '−'}{text}"


def _reading(lines: Sequence[Compared], *, planned: bool) -> str:
    measured = [line.difference for line in lines if line.difference is not None]
    missing = len(lines) - len(measured)
    family = "the planned comparisons (`compare` in `[experiment]`)" if planned else "all pairs of students"
    parts = [
        READING,
        f"`p (Holm)` is corrected for all {len(lines)} lines of this table: {family}, on each task.",
    ]
    if missing:
        parts.append(f"{missing} of them are not measured yet and count all the same.")
    if any(1 in each.seeds for each in measured):
        parts.append(ONE_SEED)
    return " ".join(parts)
