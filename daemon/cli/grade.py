"""`coterie grade`: grades completions of a file, offline; nothing is stored."""

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
    """Prints a verdict for each row; 1 where a row has `expected_correct` and disagrees."""
    disagreed = 0
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
        disagreed += differs
        sys.stdout.write(_json(verdict) if arguments.json else _line(number, verdict, differs))
    if disagreed:
        sys.stderr.write(f"{disagreed} row(s) disagree with expected_correct\n")
    return 1 if disagreed else 0


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
    tail = "  (expected otherwise)" if differs else ""
    text = f"{number}: {mark}  {verdict.extracted!r}  {verdict.reason}{flags}{tail}"
    return safe(text).replace("\n", " ") + "\n"


def rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of the file with their line numbers.

    Raises:
        UsageError: the file cannot be read, or a line is not such a row.
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
        raise UsageError(f"{where}: not JSON: {error}") from None
    if not isinstance(row, dict):
        raise UsageError(f"{where}: expected an object with {', '.join(FIELDS)}")
    for name in FIELDS:
        if name not in row:
            raise UsageError(f"{where}: {name!r} is missing; each row has {', '.join(FIELDS)}")
        if isinstance(row[name], int | float) and not isinstance(row[name], bool) and name != "answer_format":
            row[name] = str(row[name])
        if not isinstance(row[name], str):
            raise UsageError(f"{where}: {name!r} must be text, got {row[name]!r}")
    if row["answer_format"] not in FORMATS:
        raise UsageError(f"{where}: answer_format {row['answer_format']!r} is none of {', '.join(FORMATS)}")
    if not isinstance(row.get("question"), str | None):
        raise UsageError(f"{where}: 'question' must be text, got {row['question']!r}")
    return row
