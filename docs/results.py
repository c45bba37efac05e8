"""Writes the result table of a finished run into README.md and docs/method.md: `make results`.

python docs/results.py state.db README.md docs/method.md

The table replaces what stands between the two markers of each file. The line under it names the commit, the machine and
the day, because figures differ between machines.
"""

from __future__ import annotations

import datetime
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from daemon.cli.report import made_by
from engine.report.accuracy_table import Cell, method_table
from state.database import open_reader
from state.results import read_results

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


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


def replaced(text: str, block: str) -> str:
    """The text with what is between its markers replaced.

    Raises:
        ValueError: a marker is missing.
    """
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    return f"{text[:start]}\n{block}\n{text[end:]}"


def main(argv: Sequence[str]) -> int:
    """Writes the table into each file; exit code 1 when no student was evaluated yet."""
    database, *targets = map(Path, argv)
    with closing(open_reader(database)) as connection:
        results = read_results(connection)
    if not results.runs:
        sys.stderr.write(f"{database}: no student was evaluated yet; run `make run` first\n")
        return 1
    day = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    block = (
        f"{table(method_table(results))}\n\nAccuracy in percent with its 95 % interval over questions. Written by `make results` on {day}"
        f" from one `make run`: {made_by()}; {machine()}."
    )
    for target in targets:
        target.write_text(replaced(target.read_text(encoding="utf-8"), block), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
