"""`coterie diff RUN RUN`: how two runs differ, in settings and in what their students answer."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from contextlib import closing

from daemon.cli.database_path import database_path
from engine.errors import UsageError
from state.database import open_reader
from state.safe import safe
from state.views.format import accuracy_words, count, duration
from state.views.run_differences import settings_that_differ
from state.views.runs import RunDetail, run_detail, verdicts_on_test
from state.views.tables import table, terminal_width


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "first", type=int, metavar="RUN", help="number of a run, as `coterie status` lists it"
    )
    parser.add_argument("second", type=int, metavar="RUN", help="number of another one")


def command(arguments: argparse.Namespace) -> int:
    """Prints what differs, and the comparison on the test questions that both answered."""
    with closing(open_reader(database_path(arguments.config))) as connection:
        runs = []
        for number in (arguments.first, arguments.second):
            found = run_detail(connection, number)
            if found is None:
                raise UsageError(f"there is no run {number}; `coterie status` lists them")
            runs.append((found, verdicts_on_test(connection, number)))
    (one, answers), (other, others) = runs
    lines = table(("", f"run {one.id}", f"run {other.id}"), _rows(one, other), left=3, width=terminal_width())
    for line in [*lines, *_compared(answers, others, one, other)]:
        sys.stdout.write(safe(line) + "\n")
    return 0


def _rows(one: RunDetail, other: RunDetail) -> list[tuple[str, str, str]]:
    """What is always shown, and every setting that differs."""
    first, second = _facts(one), _facts(other)
    shown = [(name, first[name], second[name]) for name in first]
    return [*shown, *settings_that_differ(one, other)]


def _facts(run: RunDetail) -> dict[str, str]:
    seconds = (run.ended_at - run.started_at) / 1000 if run.ended_at and run.started_at else None
    return {
        "student": run.student,
        "task": run.task,
        "state": run.state,
        "trigger": run.trigger,
        "method": run.method,
        "base": run.base,
        "seed": str(run.seed),
        "rows": count(run.samples),
        "steps": count(run.step),
        "loss": "–" if run.loss is None else f"{run.loss:.3f}",
        "time": duration(seconds),
        "best on dev, %": accuracy_words(run.best_dev),
        "on test, %": accuracy_words(run.test),
    }


def _compared(
    answers: Mapping[int, bool], others: Mapping[int, bool], one: RunDetail, other: RunDetail
) -> list[str]:
    """The difference of the accuracies, paired by question."""
    if not answers.keys() & others.keys():
        return ["", "not compared: they have no test question in common that both answered"]
    from engine.report.paired import compare  # with numpy

    found = compare([answers], [others])
    assert found is not None, "there are common questions"
    said = (
        f"run {one.id} minus run {other.id}: {100 * found.points:+.1f} points ({100 * found.low:+.1f} to {100 * found.high:+.1f}),"
        f" p = {found.p:.3f} (McNemar, exact), on {found.n:,} test questions; {found.only_first:,} are answered correctly by"
        f" run {one.id} alone, {found.only_second:,} by run {other.id} alone"
    )
    return ["", said]
