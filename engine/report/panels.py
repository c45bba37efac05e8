"""Panels in the report: how right they are after each round, what they cost, and what votes of as many answers say.

A panel's answer after a round is the majority of its members' answers; in a tie the first member's. Beside it stands the
majority of as many independent answers as the panel had in all: first answers of the same members, of this panel and of others
about the same question. Choi et al. (2025) find that such votes explain most of what debates gain.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import groupby

from engine.grading import grade
from engine.grading.majority import majority
from engine.report.accuracy_table import text_table
from state.panels import RoundAnswer
from state.results import Results
from state.safe import safe

ABOUT = (
    "A panel's answer after a round is what most of its members say then; a panel that ended keeps its last answer. In consensus: panels whose members all"
    " said the same in the end. The votes are over as many independent first answers as a panel had answers in all, of the same teachers: the panels of a question"
    " (`rationales`) give them. Where there are fewer, as many as there are. A panel is worth its price only if it is clearly above them."
)


def panels(results: Results) -> str:
    """A table with a row for each panel and task; empty without panels."""
    if not results.rounds:
        return ""
    formats = {task.name: task.answer_format for task in results.tasks}
    rounds = 1 + max(each.turn for each in results.rounds)
    head = (
        *("panel", "task", "split", "panels"),
        *(f"after round {number}, %" for number in range(1, rounds + 1)),
        *("votes, %", "of answers", "in consensus, %", "calls a question", "$ a question"),
    )
    groups: dict[tuple[str, str, str], list[RoundAnswer]] = defaultdict(list)
    for each in results.rounds:
        groups[each.panel, each.task, each.split].append(each)
    body = [
        [*key, *_row(group, formats.get(key[1], "text"), results.golds, rounds)]
        for key, group in sorted(groups.items())
    ]
    return safe(text_table(head, body, left=3))


def _row(
    answers: Sequence[RoundAnswer], form: str, golds: Mapping[int, tuple[str, str]], rounds: int
) -> list[str]:
    by_panel = [
        list(group) for _, group in groupby(answers, key=lambda each: (each.question_id, each.replicate))
    ]
    right = [0] * rounds
    known = 0
    for panel in by_panel:
        text, gold = golds[panel[0].question_id]
        known += bool(gold)
        said = None
        for turn in range(rounds):
            now = [each.answer for each in panel if each.turn == turn]
            said = majority(now, form) if now else said
            right[turn] += bool(gold) and said is not None and _right(said.answer, gold, form, text)
    calls = len(answers) / len(by_panel)
    voted, of = _votes(answers, form, golds, round(calls))
    consensus = sum(any("consensus" in each.flags for each in panel) for panel in by_panel)
    micros = sum(each.micros for each in answers)
    return [
        f"{len(by_panel):,}",
        *(f"{100 * count / known:.1f}" if known else "–" for count in right),
        f"{100 * voted:.1f}" if voted is not None else "–",
        f"{of:.1f}",
        f"{100 * consensus / len(by_panel):.1f}",
        f"{calls:.2f}",
        f"{micros / 1e6 / len(by_panel):.5f}",
    ]


def _votes(
    answers: Sequence[RoundAnswer], form: str, golds: Mapping[int, tuple[str, str]], calls: int
) -> tuple[float | None, float]:
    """The accuracy of votes over `calls` first answers for each panel, and over how many there were."""
    first: dict[int, dict[int, list[str | None]]] = defaultdict(lambda: defaultdict(list))
    for each in answers:
        if each.turn == 0:
            first[each.question_id][each.replicate].append(each.answer)
    right = asked = of = 0
    for question, panels_of in first.items():
        text, gold = golds[question]
        for replicate in panels_of:
            order = [replicate, *(each for each in sorted(panels_of) if each != replicate)]
            pool = [answer for each in order for answer in panels_of[each]][:calls]
            of += len(pool)
            asked += 1
            vote = majority(pool, form)
            right += bool(gold) and vote is not None and _right(vote.answer, gold, form, text)
    labelled = any(golds[question][1] for question in first)
    return (right / asked if asked and labelled else None), of / asked if asked else 0.0


def _right(answer: str, gold: str, form: str, question: str) -> bool:
    return grade(answer, gold, form, question=question).correct
