"""Searches over the wording of a plan: which wording is asked how many dev questions, and what came of it. Read-only but for `go_on`.

Each wording is a plan with one sample a question; its row says how many questions it is asked now (`plan.questions`). All of that follows from the
samples, so a daemon that starts again decides the same, and nothing is asked twice.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from state.sqlite import Connection

GIVEN = 0
"""The place of the plan's own wording."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """A wording on a task: its plan, and its answers by position of the dev question (None: not graded yet)."""

    plan_id: int
    of: str
    wording: str
    place: int
    rounds: tuple[int, ...]
    task_id: int
    task: str
    answers: Mapping[int, bool | None] = field(default_factory=dict)

    def graded(self, begin: int, end: int) -> int | None:
        """How many of these questions are correct; None while one has no verdict."""
        found = [self.answers.get(position) for position in range(begin, end)]
        return None if None in found else sum(map(bool, found))

    @property
    def n(self) -> int:
        """Questions with a verdict."""
        return sum(each is not None for each in self.answers.values())

    @property
    def correct(self) -> int:
        """How many of them are correct."""
        return sum(map(bool, self.answers.values()))


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """All wordings of a plan on a task."""

    tried: tuple[Tried, ...]
    """By place; the first is the plan's own."""
    limits: Mapping[int, int]
    """By plan, how many questions it is asked as far as is known."""
    left: tuple[int, ...]
    """Places of the wordings that may still win, without the plan's own."""
    decided: bool

    @property
    def undecided(self) -> list[int]:
        """The plans that may be asked further questions later."""
        places = () if self.decided else (GIVEN, *self.left)
        return [self.tried[place].plan_id for place in places]

    @property
    def paired(self) -> tuple[int, int, int, int]:
        """Of the questions that compare the best wording with the given one: answered correctly by both, the best alone, the given one alone, neither."""
        given, best = self.tried[GIVEN], self.tried[self.left[0]]
        begin, end = ([0, *given.rounds])[-2:]
        pairs = [(best.answers.get(each), given.answers.get(each)) for each in range(begin, end)]
        return (
            pairs.count((True, True)),
            pairs.count((True, False)),
            pairs.count((False, True)),
            pairs.count((False, False)),
        )


def _settled(tried: Sequence[Tried]) -> Search:
    """Where a search stands, from its answers alone."""
    rounds = tried[GIVEN].rounds
    left = list(tried[1:])
    limits, decided = {each.plan_id: rounds[0] for each in tried}, False
    for number, limit in enumerate(rounds):
        for each in (tried[GIVEN], *left):
            limits[each.plan_id] = limit
        scores = {each.place: each.graded(0, limit) for each in left}
        if tried[GIVEN].graded(0, limit) is None or None in scores.values():
            break
        if decided := number == len(rounds) - 1:
            break
        left.sort(key=lambda each: (-(scores[each.place] or 0), each.place))
        left = left[: math.ceil(len(left) / 2)]
    asked = {each.plan_id: max(each.answers, default=-1) + 1 for each in tried}
    limits = {plan: max(limit, asked[plan]) for plan, limit in limits.items()}
    return Search(tried=tuple(tried), limits=limits, left=tuple(each.place for each in left), decided=decided)


def searches(connection: Connection, plans: Sequence[int] | None = None) -> list[Search]:
    """The searches of active plans, by the ids of their plans; all if None."""
    rows = connection.execute(
        "SELECT p.id, p.settings -> '$.search', p.task_id, t.name, p.recipe, p.split FROM plan p JOIN task t ON t.id = p.task_id"
        " WHERE p.active = 1 AND json_valid(p.settings) AND p.settings -> '$.search' IS NOT NULL"
        " AND (?1 IS NULL OR p.id IN (SELECT value FROM json_each(?1))) ORDER BY p.id",
        (None if plans is None else json.dumps(sorted(plans)),),
    ).fetchall()
    groups: dict[tuple[str, int], list[Tried]] = defaultdict(list)
    for plan_id, search, task_id, task, recipe, split in rows:
        own = json.loads(search)
        answers = connection.execute(
            "SELECT q.position, CASE s.state WHEN 'failed' THEN 0 ELSE s.verdict END FROM sample s JOIN question q ON q.id = s.question_id"
            " WHERE s.task_id = ? AND s.split = ? AND s.recipe = ? AND s.replicate = 0 AND q.active = 1",
            (task_id, split, recipe),
        ).fetchall()
        groups[own["of"], task_id].append(
            Tried(
                plan_id=plan_id,
                of=own["of"],
                wording=own["wording"],
                place=own["place"],
                rounds=tuple(own["rounds"]),
                task_id=task_id,
                task=task,
                answers={place: None if verdict is None else bool(verdict) for place, verdict in answers},
            )
        )
    found = [sorted(group, key=lambda each: each.place) for group in groups.values()]
    return [_settled(group) for group in found if [each.place for each in group] == list(range(len(group)))]


def go_on(connection: Connection, requests: Sequence[Sequence[int]]) -> list[Search | None]:
    """Lets the wordings of a search be asked the questions of its next round, as far as its answers decide it.

    Each request is the ids of a search's plans.
    """
    found = [next(iter(searches(connection, plans)), None) for plans in requests]
    for search in found:
        for plan, limit in search.limits.items() if search else ():
            connection.execute(
                "UPDATE plan SET questions = ?1, wanted = ?1 WHERE id = ?2 AND questions < ?1", (limit, plan)
            )
    return found
