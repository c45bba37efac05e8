"""Breaks the code in one line after the other and runs the nearest tests: `make mutants`.

Each mutation of `mutations.py` is made in a scratch copy of the tree. Ends with 1 if one survives, that is, if its
tests still pass.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]
PARTS = ("daemon", "engine", "state", "tui", "tests", "docs", "examples", "bench")
FILES = ("pyproject.toml", "config.toml", "README.md", "Makefile", "constraints.txt")
LIMIT_S = 600.0
"""A test that hangs under a mutation has noticed it."""


def main(argv: list[str] | None = None) -> int:
    """Runs the mutations, a line for each; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="mutations of files whose path contains this")
    options = parser.parse_args(argv)
    chosen = [each for each in MUTATIONS if options.only in each.file]
    started, survivors = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="coterie-mutants-") as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(options.jobs):
            copies.put(copy_of_the_tree(Path(folder) / str(number)))
        failing = untouched(copies, chosen)
        if failing:
            print(f"fail without a mutation: {failing}", file=sys.stderr)
            return 1
        with ThreadPoolExecutor(options.jobs) as pool:
            for mutation, killed in zip(
                chosen, pool.map(lambda each: is_killed(copies, each), chosen), strict=True
            ):
                print(
                    f"{'killed  ' if killed else 'SURVIVES'} {mutation.file}: {_short(mutation.text)} -> {_short(mutation.becomes)}",
                    flush=True,
                )
                if not killed:
                    survivors.append(mutation)
    print(
        f"{len(chosen) - len(survivors)} of {len(chosen)} mutations killed in {time.monotonic() - started:.0f} s"
    )
    return 1 if survivors else 0


def copy_of_the_tree(place: Path) -> Path:
    """A copy of what the tests need."""
    for part in PARTS:
        shutil.copytree(ROOT / part, place / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, place / name)
    return place


def untouched(copies: SimpleQueue[Path], chosen: Sequence[Mutation]) -> str:
    """The tests that fail without any mutation; empty if none does."""
    tests = sorted({each.tests for each in chosen})
    with borrowed(copies) as place:
        return next((each for each in tests if not passes(place, each)), "")


def is_killed(copies: SimpleQueue[Path], mutation: Mutation) -> bool:
    """Whether the tests fail on a mutation."""
    with borrowed(copies) as place:
        path = place / mutation.file
        before = path.read_text(encoding="utf-8")
        path.write_text(mutated(before, mutation), encoding="utf-8")
        try:
            return not passes(place, mutation.tests)
        finally:
            path.write_text(before, encoding="utf-8")


def mutated(text: str, mutation: Mutation) -> str:
    """A file's text with the mutation.

    Raises:
        ValueError: the text to change does not stand there once.
    """
    if (found := text.count(mutation.text)) != 1:
        raise ValueError(
            f"{mutation.file} has {mutation.text!r} {found} times, not once: mend tests/mutants/mutations.py"
        )
    return text.replace(mutation.text, mutation.becomes)


def passes(place: Path, tests: str) -> bool:
    """Whether tests pass in a copy of the tree."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n0", "-p", "no:cacheprovider", *tests.split()]
    environment = {**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=place, env=environment, capture_output=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


@contextmanager
def borrowed(copies: SimpleQueue[Path]) -> Iterator[Path]:
    """A copy of the tree that nobody else uses meanwhile."""
    place = copies.get()
    try:
        yield place
    finally:
        copies.put(place)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 70 else f"{line[:69]}…"


if __name__ == "__main__":
    sys.exit(main())
