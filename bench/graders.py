"""Compares both graders with logged completions and their published verdicts: `python -m bench.graders FOLDER`.

The folder contains `TASK.jsonl.gz` with question, final, gold and correct_logged in each row (Kojima et al. 2022; Ho et al.
2023).
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

from engine.grading import grade

FORMATS = {
    "addsub": "number", "multiarith": "number", "gsm8k": "number", "svamp": "number", "single_eq": "number",
    "aqua": "choice", "commonsense_qa": "choice", "date_understanding": "choice", "tracking_shuffled_objects": "choice",
    "coin_flip": "yes_no", "strategy_qa": "yes_no", "last_letter_concatenation": "text",
}  # fmt: skip


def agreement(path: Path, answer_format: str) -> tuple[int, int, int, int, int, int, int]:
    """Counts: rows; correct by the log, by `paper`, by `careful`; `paper` agrees; `careful` alone correct; the log alone correct."""
    counts = [0] * 7
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            logged = bool(row["correct_logged"])
            paper, careful = (
                grade(row["final"], row["gold"], answer_format, question=row["question"], grader=name).correct
                for name in ("paper", "careful")
            )
            found = (1, logged, paper, careful, paper == logged, careful > logged, careful < logged)
            counts = [count + value for count, value in zip(counts, found, strict=True)]
    return tuple(counts)  # type: ignore[return-value]


def main() -> None:
    """Prints the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.graders")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    print(
        "| task | n | log % | `paper` % | agrees | `careful` % | agrees | only `careful` says correct | only the log says correct |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    total = [0] * 7
    for task, answer_format in FORMATS.items():
        found = agreement(folder / f"{task}.jsonl.gz", answer_format)
        total = [one + two for one, two in zip(total, found, strict=True)]
        print(_line(task, found))
    print(_line("all", tuple(total)))


def _line(task: str, found: tuple[int, ...]) -> str:
    n, logged, paper, careful, agrees, up, down = found
    shares = [f"{100 * value / n:.1f}" for value in (logged, paper, careful)]
    return f"| {task} | {n:,} | {shares[0]} | {shares[1]} | {agrees:,} | {shares[2]} | {n - up - down:,} | {up} | {down} |"


if __name__ == "__main__":
    main()
