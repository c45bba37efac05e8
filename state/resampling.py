"""Questions to be sampled again: the rows of `need`.

A plan with `want` samples a question again when the question has had its `base` rationales, has replicates left, and
would not reach `want` correct ones even if all its open rationales (in flight or not yet graded) were correct. A
question with a correct sample of the fingerprint `unless` is left out, and so is one that has had `stop_after_wrong` (of the
plan's settings) without a correct one. So no request is sent before it is known to
be needed, and a question that is done, or waits for a verdict, costs nothing.

The rows follow from the samples: they change in the same transaction, and are rebuilt with a plan's counters.
A plan's `wanted` includes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from state.sqlite import Connection

PENDING = "(s.state = 'open' OR (s.state = 'stored' AND s.verdict IS NULL))"
"""Whether a sample `s` may still turn out correct."""

MOST = (
    "iif({correct} > 0, p.rationales, ifnull(nullif(p.settings ->> '$.stop_after_wrong', 0), p.rationales))"
)
"""The most rationales of a question of the plan `p`, by the number of its correct ones."""

_CORRECT = "coalesce(sum(s.verdict = 1), 0)"
_TRIED = (
    "INSERT INTO need (plan_id, question_id, tries, correct)"
    " SELECT p.id, s.question_id, count(*), " + _CORRECT
)
_MISSING = (
    " AND (p.unless = '' OR NOT EXISTS (SELECT 1 FROM sample u WHERE u.question_id = s.question_id"
    " AND u.recipe = p.unless AND u.verdict = 1))"
    " GROUP BY s.question_id HAVING count(*) >= p.base"
    f" AND count(*) < {MOST.format(correct=_CORRECT)} AND {_CORRECT} + sum({PENDING}) < p.want"
)


def refresh_needs(
    connection: Connection, task_id: int, split: str, recipe: str, questions: Iterable[int]
) -> None:
    """Updates the rows of some questions after their samples began or ended, for every plan that depends on them."""
    plans = connection.execute(
        "SELECT id FROM plan WHERE task_id = ?1 AND split = ?2 AND want > 0 AND (recipe = ?3 OR unless = ?3)",
        (task_id, split, recipe),
    ).fetchall()
    if not plans:
        return
    listed = json.dumps(sorted(set(questions)))
    for (plan,) in plans:
        gone = connection.execute(
            "DELETE FROM need WHERE plan_id = ? AND question_id IN (SELECT value FROM json_each(?))",
            (plan, listed),
        ).rowcount
        come = connection.execute(
            _TRIED + " FROM json_each(?2) j CROSS JOIN plan p CROSS JOIN sample s"
            " WHERE p.id = ?1 AND s.question_id = j.value AND s.recipe = p.recipe AND s.replicate < p.rationales"
            + _MISSING,
            (plan, listed),
        ).rowcount
        if come != gone:
            connection.execute(
                "UPDATE plan SET wanted = wanted + ? WHERE id = ? AND target = 0", (come - gone, plan)
            )


def rebuild_needs(connection: Connection, plan: int) -> int:
    """Rebuilds a plan's rows from its samples; returns how many there are. Costs a pass over the samples."""
    connection.execute("DELETE FROM need WHERE plan_id = ?", (plan,))
    return connection.execute(
        _TRIED + " FROM plan p CROSS JOIN question q CROSS JOIN sample s"
        " WHERE p.id = ? AND p.want > 0 AND q.task_id = p.task_id AND q.split = p.split AND q.active = 1"
        " AND s.question_id = q.id AND s.recipe = p.recipe AND s.replicate < p.rationales" + _MISSING,
        (plan,),
    ).rowcount
