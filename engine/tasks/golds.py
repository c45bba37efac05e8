"""Checks that every gold answer can be read: graded against itself, in the format of its task, it is correct.

A question whose gold answer cannot be read is set apart with the reason: no answer to it would ever be correct. If a split has
none that can be read, the format is the wrong one, or another column holds the answers: that is an error with the line to
write. A check costs one verdict a gold answer; a format with worker processes asks them only about gold answers that it does
not find written in the same way again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from statistics import median

from engine.config.faults import quoted
from engine.config.tasks import AnswerFormat
from engine.errors import ConfigError
from engine.grading import grade
from engine.grading.formats import FORMATS
from engine.question import SPLITS, Question

ASKING = 4
"""Threads that wait for worker processes."""
EXAMPLES = 3
TRIED, FITTING = 50, 0.9
"""Number of gold answers on which other formats are tried, and the share they must read to be suggested."""
LONG = 60
"""Characters from which the usual gold answer looks like a whole solution."""


def why_unreadable(gold: str, answer_format: AnswerFormat, question: str | None) -> str:
    """Why a gold answer cannot be read; empty if it can, and is correct when graded against itself."""
    reason = FORMATS[answer_format].bad_gold(gold, question)
    if reason:
        return reason
    found = grade(gold, gold, answer_format, question=question)
    return "" if found.correct else f"as an answer to itself it is wrong: {found.reason}"


def check_golds(
    where: str, questions: Sequence[Question], answer_format: AnswerFormat
) -> tuple[tuple[Question, ...], tuple[Question, ...]]:
    """The questions whose gold answer can be read, and the others, which say why not.

    Args:
        where: the key in the configuration, `tasks.NAME`.
        questions: of the task; those that say why they are unreadable are believed.
        answer_format: the task's.

    Raises:
        ConfigError: a split has questions, but none whose gold answer can be read; names three and the line to write.
    """
    reasons = _reasons(questions, answer_format)
    readable = tuple(question for question, reason in zip(questions, reasons, strict=True) if not reason)
    apart = tuple(
        replace(question, unreadable=reason)
        for question, reason in zip(questions, reasons, strict=True)
        if reason
    )
    left = {question.split for question in readable}
    for split in SPLITS:
        bad = [question for question in apart if question.split == split or not left]
        if bad and split not in left:
            which = f" of {split}" if left else ""
            raise ConfigError(
                f"{where}.answer: none of the {len(bad):,} gold answers{which} can be read as {answer_format}:"
                f" {examples(bad)}. {_advice(where, bad, answer_format, split if left else None)}"
            )
    return readable, apart


def note_of(apart: Sequence[Question], readable: int, answer_format: AnswerFormat) -> str:
    """A sentence on the questions that are set apart, with examples."""
    counts = Counter(question.split for question in apart)
    by_split = ", ".join(f"{counts[split]:,} {split}" for split in SPLITS if counts[split])
    return (
        f"{len(apart):,} of {len(apart) + readable:,} gold answers cannot be read as {answer_format} ({by_split}): their"
        f" questions are never sampled, trained on or evaluated; {examples(apart)}"
    )


def examples(apart: Iterable[Question]) -> str:
    """The first few: row, gold answer and reason."""
    listed = [f"{each.key}: {_cut(each.answer)!r} ({each.unreadable})" for each in apart]
    more = f"; and {len(listed) - EXAMPLES:,} more" if len(listed) > EXAMPLES else ""
    return "; ".join(listed[:EXAMPLES]) + more


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONG else f"{line[: LONG - 1]}…"


def _reasons(questions: Sequence[Question], answer_format: AnswerFormat) -> list[str]:
    """Why each gold answer cannot be read; equal ones of one word are judged once, where questions list no options."""
    form = FORMATS[answer_format]
    keys = [
        (each.answer, each.text if form.names_options or len(each.answer.split()) > 1 else None)
        for each in questions
    ]
    different = list(
        dict.fromkeys(key for key, each in zip(keys, questions, strict=True) if not each.unreadable)
    )

    def judged(key: tuple[str, str | None]) -> str:
        return why_unreadable(key[0], answer_format, key[1])

    if form.in_worker:
        with ThreadPoolExecutor(ASKING) as threads:
            found = dict(zip(different, threads.map(judged, different), strict=True))
    else:
        found = {key: judged(key) for key in different}
    return [each.unreadable or found[key] for key, each in zip(keys, questions, strict=True)]


def _advice(where: str, bad: Sequence[Question], answer_format: AnswerFormat, split: str | None) -> str:
    """What to write where no gold answer can be read; `split`: the one that is concerned, if others are readable."""
    if split is not None:
        return f"If its answers are not public, `{split} = 0` leaves it out"
    tried = bad[:TRIED]
    lines = []
    if median(len(each.answer) for each in tried) > LONG:
        lines.append(f"`answer_pattern` in [{where}.fields], a regular expression whose group is the answer")
    lines += [
        f"`answer = {quoted(name)}`"
        for name, form in FORMATS.items()
        if name != answer_format
        and not form.in_worker
        and sum(not why_unreadable(each.answer, name, each.text) for each in tried) >= FITTING * len(tried)
    ]
    if not lines:
        return f"Correct the column of the answers, or name another one in [{where}.fields]"
    return f"Write {' or '.join(lines)}"
