"""`coterie grade`: grades the completions in a file offline, and stores nothing."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.errors import UsageError
from engine.grading import FORMATS, Verdict, grade
from state.safe import safe

FIELDS = ("completion", "gold", "answer_format")


def command(arguments: argparse.Namespace) -> int:
    """Prints a verdict for each row; returns 1 if a verdict differs from its row's `expected_correct`."""
    differing = 0
    for number, row in rows(arguments.file):
        verdict = grade(
            row["completion"],
            row["gold"],
            row["answer_format"],
            question=row.get("question"),
            grader=arguments.grader,
        )
        expected = row.get("expected_correct")
        differs = expected is not None and bool(expected) != verdict.correct
        differing += differs
        sys.stdout.write(_json(verdict) if arguments.json else _line(number, verdict, differs))
    if differing:
        verdicts = "1 verdict differs" if differing == 1 else f"{differing:,} verdicts differ"
        sys.stderr.write(f"{verdicts} from expected_correct\n")
    return 1 if differing else 0


def _json(verdict: Verdict) -> str:
    flags = list(verdict.flags)
    found = {
        "correct": verdict.correct,
        "extracted": verdict.extracted,
        "reason": verdict.reason,
        "flags": flags,
    }
    return json.dumps(found) + "\n"


def _line(number: int, verdict: Verdict, differs: bool) -> str:
    mark = "✓ correct" if verdict.correct else "✗ wrong"
    flags = f" [{', '.join(verdict.flags)}]" if verdict.flags else ""
    tail = f"  (expected {'wrong' if verdict.correct else 'correct'})" if differs else ""
    text = f"{number}: {mark}  {verdict.extracted!r}  {verdict.reason}{flags}{tail}"
    return safe(text).replace("\n", " ") + "\n"


def rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a file with their line numbers.

    Raises:
        UsageError: the file cannot be read, or a line is not a valid row.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, _row(f"{path}:{number}", line)


def _row(where: str, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: not valid JSON: {error}") from None
    if not isinstance(row, dict):
        raise UsageError(f"{where}: expected an object with {', '.join(FIELDS)}")
    for name in FIELDS:
        if name not in row:
            raise UsageError(f"{where}: {name}: required; each row needs {', '.join(FIELDS)}")
        if isinstance(row[name], int | float) and not isinstance(row[name], bool) and name != "answer_format":
            row[name] = str(row[name])
        if not isinstance(row[name], str):
            raise UsageError(f"{where}: {name}: expected text (got {row[name]!r})")
    if row["answer_format"] not in FORMATS:
        raise UsageError(
            f"{where}: answer_format: expected one of {', '.join(FORMATS)} (got {row['answer_format']!r})"
        )
    if not isinstance(row.get("question"), str | None):
        raise UsageError(f"{where}: question: expected text (got {row['question']!r})")
    return row
