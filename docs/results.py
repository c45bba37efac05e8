"""Writes the results of a finished run into the documentation: `make results`, `make reproduction`.

python docs/results.py state.db README.md docs/method.md
python docs/results.py reproduce/systematic/state.db docs/method.md

A run of `config.toml` gives one table; an experiment gives its arms, with what their samples took, and its planned
comparisons. The block replaces what stands between two markers of each file: those of `results`, or of an experiment's folder.
The last line names the commit, the machine and the day, because figures differ between machines.
"""

from __future__ import annotations

import datetime
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from daemon.cli.report import made_by
from engine.config.experiment import ExperimentCell, ExperimentConfig, stored_experiment
from engine.report import Cell, Compared, Point, choose, method_table, planned_comparisons, points, text_table
from engine.report.matrix import at_base
from state.database import open_reader
from state.figure_data import FigureData, read_figure_data
from state.results import PlanResult, Results, read_results

FINDINGS = {
    ("fine-tune-cot", "zero-shot-cot"): "student and teacher",
    ("fine-tune-cot", "fine-tune"): "reasoning and answers alone",
    ("fine-tune-cot", "fine-tune-cot.d1"): "D = 8 and D = 1, at equal steps",
    ("fine-tune-cot", "fine-tune-cot.n150"): "350 and 150 questions",
    ("fine-tune-cot.n150", "fine-tune-cot.n50"): "150 and 50 questions",
    ("fine-tune-cot", "fine-tune-cot.small"): "better and worse teacher",
    ("fine-tune-cot", "fine-tune-cot.all"): "correct rationales and all",
    ("fine-tune-cot", "fine-tune-cot.random"): "correct rationales and as many at random",
    ("fine-tune-cot.micro", "fine-tune-cot"): "larger and smaller student",
    ("fine-tune-cot.need", "fine-tune-cot"): "until four are correct, and eight of each",
    ("fine-tune-cot.need5", "fine-tune-cot"): "until five are correct, and eight of each",
    ("fine-tune-cot.need", "fine-tune-cot.d4"): "until four are correct, and four of each",
}
"""What a planned comparison of `make reproduce` compares."""
LEVEL = 0.05


def markers(name: str) -> tuple[str, str]:
    """What stands before and after a block."""
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"


def table(rows: Mapping[str, Sequence[Cell]]) -> str:
    """One row for each method, and two columns for each task: its accuracy, and how long the student was trained."""
    methods = list(dict.fromkeys(cell.method for cells in rows.values() for cell in cells))
    sizes = sorted({cell.n for cells in rows.values() for cell in cells if cell.n})
    seeds = sorted({cell.seed for cells in rows.values() for cell in cells if cell.seed is not None})
    about = ", ".join([f"n = {size}" for size in sizes] + [f"seed {seed}" for seed in seeds])
    lines = [
        f"| {about} | " + " | ".join(f"{task} | passes (steps)" for task in rows) + " |",
        "|---|" + "---:|---:|" * len(rows),
    ]
    for method in methods:
        found = [next((cell for cell in cells if cell.method == method), None) for cells in rows.values()]
        said = (f"{cell.text()} | {trained(cell)}" if cell else "– | –" for cell in found)
        lines.append(f"| {method} | " + " | ".join(said) + " |")
    return "\n".join(lines)


def trained(cell: Cell) -> str:
    """Passes and steps of a student; of how many if it stopped at its plateau."""
    if cell.run is None or not cell.run.step:
        return "–"
    steps = f"{cell.run.step:,}"
    if cell.run.step < cell.run.steps:
        steps += f" of {cell.run.steps:,}"
    return f"{cell.run.passes:.1f} ({steps})"


def machine() -> str:
    """The processor and its cores."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [
            line.split(":", 1)[1].strip()
            for line in info.read_text().splitlines()
            if line.startswith("model name")
        ]
        name = models[0] if models else name
    return f"{name}, {os.cpu_count()} cores"


def made_now() -> str:
    """The day, the program and the machine, for a line below a table."""
    day = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    return f"{day}: {made_by()}; {machine()}"


def verdict(each: Compared) -> str:
    """What a comparison says of its first arm."""
    if each.difference is None:
        return "not measured"
    if each.corrected >= LEVEL:
        return "not significant"
    return "better" if each.difference.points > 0 else "worse"


def experiment_block(experiment: ExperimentConfig, results: Results, figure_data: FigureData) -> str:
    """The arms of an experiment, each with its samples, and its planned comparisons."""
    choice = choose(experiment, results, figure_data)
    found = points(experiment, choice.results, choice.figure_data)
    rates = {replace(each.cell, learning_rate=None): each.rate for each in choice.candidates if each.chosen}
    full = next((point.sampled for point in found if point.sampled and at_base(point, experiment)), None)
    arms = [_arm(point, rates, full) for point in found if point.estimate is not None]
    head = [
        "arm",
        "accuracy % (95 % interval)",
        "rows (questions)",
        "learning rate",
        "teacher tokens",
        "of the base",
    ]
    asked = [
        [
            FINDINGS.get((each.first, each.second), ""),
            f"{each.first} – {each.second}",
            each.said,
            each.said_p,
            verdict(each),
        ]
        for each in planned_comparisons(choice.results, choice.figure_data, experiment, found)
    ]
    asks = ["", "compared", "difference (95 % interval)", "p (Holm)", "the first"]
    return f"{text_table(head, arms)}\n\n{text_table(asks, asked, left=2, words=('the first',))}"


def _arm(point: Point, rates: Mapping[ExperimentCell, float], full: PlanResult | None) -> list[str]:
    assert point.estimate is not None
    rate, plan = rates.get(point.cell), point.sampled
    name = f"{point.name} ({point.cell.teacher})" if not point.cell.student and not point.runs else point.name
    part = (
        f"{100 * plan.tokens / full.tokens:.0f} %" if plan and full and plan.tokens and full.tokens else "–"
    )
    return [
        name if point.done >= point.wanted else f"{name} [{point.done} of {point.wanted} seeds]",
        point.estimate.text(),
        "–" if point.rows is None else f"{point.rows:,} ({point.questions:,})",
        "–" if rate is None else f"{rate:g}",
        f"{plan.tokens:,}" if plan and plan.tokens is not None else "–",
        part,
    ]


def replaced(text: str, block: str, name: str = "results") -> str:
    """The text with what is between the markers of a name replaced.

    Raises:
        ValueError: a marker is missing.
    """
    begin, after = markers(name)
    start, end = text.index(begin) + len(begin), text.index(after)
    return f"{text[:start]}\n{block}\n{text[end:]}"


def main(argv: Sequence[str]) -> int:
    """Writes the block into each file; exit code 1 when no student was evaluated yet."""
    database, *targets = map(Path, argv)
    with closing(open_reader(database)) as connection:
        results, figure_data = read_results(connection), read_figure_data(connection)
    experiment = stored_experiment(results.config)
    make, name = ("make reproduce", database.resolve().parent.name) if experiment else ("make run", "results")
    if not results.runs:
        sys.stderr.write(f"{database}: no student was evaluated yet; run `{make}` first\n")
        return 1
    day = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    if experiment:
        made = experiment_block(experiment, results, figure_data)
        seeds, tested = len(experiment.seeds), max(run.n for run in results.runs)
        about = (
            f"Accuracy in percent on {tested} test questions, the mean over {seeds} seeds, with its 95 % interval over questions and"
            " seeds. Tokens are those of all samples that an arm's plan counts, for all training questions also where a student reads fewer."
            " Written by `make reproduction`"
        )
    else:
        made = table(method_table(results))
        about = "Accuracy in percent with its 95 % interval over questions. Written by `make results`"
    block = f"{made}\n\n{about} on {day} from one `{make}`: {made_by()}; {machine()}."
    for target in targets:
        target.write_text(replaced(target.read_text(encoding="utf-8"), block, name), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
