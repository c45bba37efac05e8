"""Breaks the code in one line after the other and runs the nearest tests: `make mutants`.

Each mutation of `mutations.py` is made in a scratch copy of the tree. Tests run in forks of this process, which has
imported what is not ours: that is most of what a short test file costs. Ends with 1 if a mutation survives, that is, if
its tests still pass.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest

from tests.mutants.mutations import MUTATIONS, Mutation

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
PARTS = ("daemon", "engine", "state", "tui", "tests", "docs", "examples", "bench")
FILES = ("pyproject.toml", "config.toml", "README.md", "Makefile", "constraints.txt")
LEAST_S, TIMES = 600.0, 5
"""Tests hang if they take longer than this, and longer than this many times what they take without a mutation."""
LOOK_S = 0.1
KILLED, SURVIVES = "killed", "SURVIVES"
HANGS = "hangs"
"""A test that hangs under a mutation has noticed it."""
OPTIONS = ("-q", "-x", "-n0", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
PRELOADED = (
    *(
        "pytest_timeout",
        "pytest_textual_snapshot",
        "syrupy",
        "xdist.plugin",
        "hypothesis",
        "anyio.pytest_plugin",
    ),
    *("pydantic", "sqlmodel", "aiohttp.web", "anyio._backends._asyncio", "jinja2", "tenacity", "torch"),
)


def main(argv: list[str] | None = None) -> int:
    """Runs the mutations, a line for each; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="mutations of files whose path contains this")
    parser.add_argument("--from", type=int, default=0, dest="first", help="leave out this many at the start")
    parser.add_argument("--count", type=int, default=len(MUTATIONS), help="at most this many")
    options = parser.parse_args(argv)
    chosen = [each for each in MUTATIONS if options.only in each.file]
    chosen = chosen[options.first : options.first + options.count]
    for name in PRELOADED:
        with suppress(ImportError):
            importlib.import_module(name)
    started, survivors = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="coterie-mutants-") as folder:
        copies = [copy_of_the_tree(Path(folder) / str(number)) for number in range(options.jobs)]
        most: dict[str, float] = {}
        whole = sorted({each.tests for each in chosen})
        for tests, run in forks(copies, whole, lambda place, tests: Run(place, tests)):
            if run.outcome != SURVIVES:
                print(f"without a mutation: {run.outcome}: {tests}\n{run.output()}", file=sys.stderr)
                return 1
            most[tests] = max(LEAST_S, TIMES * run.seconds)
        for mutation, run in forks(
            copies, chosen, lambda place, each: Run(place, each.tests, each, most[each.tests])
        ):
            survivors += run.outcome == SURVIVES
            change = f"{_short(mutation.text)} -> {_short(mutation.becomes)}"
            print(f"{run.outcome:8} {mutation.file}: {change}", flush=True)
    seconds = time.monotonic() - started
    print(f"{len(chosen) - survivors} of {len(chosen)} mutations killed in {seconds:.0f} s")
    return 1 if survivors else 0


class Run:
    """Tests in a process of their own, in a copy of the tree with or without a mutation."""

    def __init__(
        self, place: Path, tests: str, mutation: Mutation | None = None, limit_s: float = float("inf")
    ) -> None:
        self.outcome = ""
        self.seconds = 0.0
        self.place = place
        self._log = place / "output.txt"
        self._limit_s = limit_s
        self._started = time.monotonic()
        self._file = place / mutation.file if mutation is not None else None
        if mutation is not None and self._file is not None:
            self._before = self._file.read_text(encoding="utf-8")
            self._file.write_text(mutated(self._before, mutation), encoding="utf-8")
        sys.stdout.flush()
        self._pid = os.fork() or _child(place, tests, self._log)

    def ended(self) -> bool:
        """Whether the tests have ended, or hang and were ended."""
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        self.seconds = time.monotonic() - self._started
        if pid:
            self.outcome = SURVIVES if os.waitstatus_to_exitcode(status) == 0 else KILLED
        elif self.seconds > self._limit_s:
            self.outcome = HANGS
        else:
            return False
        with suppress(ProcessLookupError):  # what it started and left
            os.killpg(self._pid, signal.SIGKILL)
        if not pid:
            os.waitpid(self._pid, 0)
        if self._file is not None:
            self._file.write_text(self._before, encoding="utf-8")
        return True

    def output(self) -> str:
        """The end of what the tests printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-3000:]


def forks(
    copies: Sequence[Path], items: Sequence[T], start: Callable[[Path, T], Run]
) -> Iterator[tuple[T, Run]]:
    """Runs one item in each copy at a time; yields them as they end."""
    free, waiting, running = list(copies), list(items), list[tuple[T, Run]]()
    while waiting or running:
        while free and waiting:
            item = waiting.pop(0)
            running.append((item, start(free.pop(), item)))
        time.sleep(LOOK_S)
        for each in [each for each in running if each[1].ended()]:
            running.remove(each)
            yield each
            free.append(each[1].place)


def _child(place: Path, tests: str, log: Path) -> int:
    """The fork: becomes pytest in the copy, and ends with its status."""
    os.setsid()
    with log.open("wb") as file, open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(place)
    os.environ |= {"PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = True
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    sys.path[:] = [str(place), *(path for path in sys.path if path and Path(path) != ROOT)]
    status = 70
    try:
        status = int(pytest.main([*OPTIONS, *tests.split()]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def copy_of_the_tree(place: Path) -> Path:
    """A copy of what the tests need."""
    for part in PARTS:
        shutil.copytree(ROOT / part, place / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, place / name)
    return place


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


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 70 else f"{line[:69]}…"


if __name__ == "__main__":
    sys.exit(main())
