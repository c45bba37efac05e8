"""`coterie regrade`: grades stored samples again with this version's graders; `--apply` stores the new verdicts."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

from daemon.catalog.regrading import Changed, judged, written
from daemon.host.lock import hold
from engine.config import load_config
from engine.errors import UsageError
from engine.grading import GRADER_VERSIONS
from engine.report import text_table
from state.checksums import Damaged, refuse
from state.database import open_reader, open_writer
from state.outcomes import Verdict
from state.regrades import Graded, stored_tasks
from state.safe import safe
from state.sqlite import Connection

SHORT = 60
"""Characters of a gold answer, an extracted one and a reason in an example."""


def command(arguments: argparse.Namespace) -> int:
    """Shows which verdicts change; stores them with `--apply`.

    Raises:
        InstanceRunning: `--apply` while a daemon is running on the database.
        StateMissing: there is no database yet.
        StateDamaged: samples were left out because their texts are damaged.
    """
    config = load_config(arguments.config)
    grader: str = arguments.grader
    damaged: list[Damaged] = []
    with closing(open_reader(config.database)) as connection:
        if arguments.task is not None:
            _check_task(connection, arguments.task)
        if not arguments.apply:
            pages = judged(connection, arguments.task, grader=grader, damaged=damaged)
            _show(pages, arguments, applied=False)
            refuse(damaged)
            return 0
    with hold(config.database), closing(open_writer(config.database)) as writer:
        with closing(open_reader(config.database)) as connection:
            pages = judged(connection, arguments.task, grader=grader, damaged=damaged)
            _show(written(writer, pages), arguments, applied=True)
    refuse(damaged)
    return 0


def _check_task(connection: Connection, task: str) -> None:
    known = stored_tasks(connection)
    if task not in known:
        raise UsageError(f"--task: unknown task {task!r} (tasks: {', '.join(known) or 'none'})")


def _show(pages: Iterator[list[Changed]], arguments: argparse.Namespace, *, applied: bool) -> None:
    counts: dict[str, Counter[str]] = {}
    before: Counter[str] = Counter()
    examples: list[Changed] = []
    for page in pages:
        for old, new in page:
            kind = "same"
            if old.correct != new.correct:
                kind = _now(old, new)
            elif old.extracted != new.extracted:
                kind = "other answer"
            counts.setdefault(old.task, Counter())[kind] += 1
            before[old.grader or "unknown"] += 1
            if kind.startswith("now"):
                examples += [(old, new)] if len(examples) < arguments.examples else []
    head = ["task", "samples", "same", "other answer", "now correct", "now wrong"]
    head += [kind for kind in ("now answered", "now unread") if any(found[kind] for found in counts.values())]
    body = [
        [task, f"{sum(found.values()):,}", *(f"{found[kind]:,}" for kind in head[2:])]
        for task, found in counts.items()
    ]
    stored = ", ".join(f"{count:,} by {name}" for name, count in sorted(before.items())) or "none"
    lines = [f"stored verdicts: {stored}; graded again by {GRADER_VERSIONS[arguments.grader]}", ""]
    lines += [text_table(head, body), ""] if body else []
    for old, new in examples:
        lines.append(f"sample {old.id} of {old.task}: {_now(old, new)}")
        lines.append(f"  gold {_cut(old.gold)}, answer {_cut(old.answer)}")
        lines.append(f"  before {_cut(old.extracted)}: {_cut(old.reason, 2)}")
        lines.append(f"  after  {_cut(new.extracted)}: {_cut(new.reason, 2)}")
    flips = sum(
        number for found in counts.values() for kind, number in found.items() if kind.startswith("now")
    )
    verdicts = "1 verdict" if flips == 1 else f"{flips:,} verdicts"
    if applied:
        lines.append(f"stored: {verdicts} changed; trained students stay as they are")
    else:
        lines.append(f"dry run: {verdicts} would change; --apply stores them")
    sys.stdout.write(safe("\n".join(lines)) + "\n")


def _now(old: Graded, new: Verdict) -> str:
    """What a sample is by its new verdict; without a gold answer whether an answer was read."""
    if old.gold:
        return "now correct" if new.correct else "now wrong"
    return "now answered" if new.correct else "now unread"


def _cut(text: str | None, times: int = 1) -> str:
    if text is None:
        return "nothing"
    line = " ".join(text.split())
    return line if len(line) <= times * SHORT else f"{line[: times * SHORT - 1]}…"
