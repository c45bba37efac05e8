"""Slots: which questions of a plan are sampled next, and when the plan is complete. Read-only.

A slot is one rationale of one question. A plan's rule is four numbers. Every question gets `base` rationales: a
cursor goes through all questions for the first replicate, then for the second (or by groups of replicates, where
`together` of them share a request: `state/slot_order.py`). With `want`, a question with too few correct rationales
is sampled again (`state/resampling.py`), up to `rationales` in all: in waves, the least sampled questions first, and
among them those with the fewest correct. A question is given up after `stop_after_wrong` (of the plan's settings) without a
correct one. With `target`, the plan claims no more than it expects to need for that
many correct rationales in all. A question with a correct sample of the fingerprint `unless` is skipped, and with `scores` (of the
plan's settings) each slot for which that fingerprint has no stored sample.

Invariants: with `want`, the correct and open rationales of a question are never more than `want` (or `base`, if
larger); with `target`, the open ones are never more than the missing ones need at the pass rate so far. Groups are
cut to that. Both follow from the rows alone, so a restarted daemon makes the same choice.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from state.resampling import MOST, PENDING
from state.slot_order import group_at
from state.sqlite import Connection

Pay = Callable[[str, int], int | None]
"""Reserves the cost bound of a question's first turn, for the n-th rationale (from 0) of a request; None if the
money does not suffice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanSlots:
    """A plan's rule and its progress."""

    id: int
    task_id: int
    split: str
    recipe: str
    questions: int
    rationales: int
    base: int
    want: int
    target: int
    together: int
    unless: str
    scores: str
    """The fingerprint whose samples it scores; empty: it scores none."""
    cursor: int
    claimed: int
    accepted: int
    rejected: int
    failed: int

    @property
    def end(self) -> int:
        """The cursor's last position."""
        return self.questions * self.base

    @property
    def pending(self) -> int:
        """Rationales that may still turn out correct: in flight, or not yet graded."""
        return self.claimed - self.accepted - self.rejected - self.failed

    @property
    def room(self) -> int | None:
        """How many more may be claimed now; None without a `target`.

        Open rationales count as correct at the pass rate so far (all of them at first), so the open ones are
        expected to bring the missing ones.
        """
        if not self.target:
            return None
        missing, graded = max(0, self.target - self.accepted), self.accepted + self.rejected
        open_at_most = -(-missing * (graded + 1) // (self.accepted + 1))
        return max(0, open_at_most - self.pending)

    @property
    def expected(self) -> int:
        """The number of slots that a plan with a `target` is expected to use."""
        return min(self.claimed + (self.room or 0), self.questions * self.rationales)


class Slot(NamedTuple):
    """A question to be sampled for its `replicate`-th rationale, with the money reserved for it.

    `number` counts from 0 within a group, which can share a request.
    """

    question_id: int
    replicate: int
    text: str
    gold: str
    reserved_micros: int
    number: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The next slots, and the cursor after them."""

    slots: list[Slot]
    cursor: int
    skipped: int
    short: bool  # the money does not suffice for the next one


class _Basket:
    """Collects the chosen slots. A group is cut by `room`, but not by `count`."""

    def __init__(self, count: int, room: int | None, pay: Pay) -> None:
        self.slots: list[Slot] = []
        self.short = False
        self.count = count
        self._room = math.inf if room is None else room
        self._pay = pay

    @property
    def is_open(self) -> bool:
        """Whether a further group may fit."""
        return len(self.slots) < min(self.count, self._room)

    def add(self, question: int, text: str, gold: str, replicates: list[int], written: str = "") -> bool:
        """Adds a group; False if it did not fit completely, and nothing more does. `written` is sent with each of them."""
        if self.slots and len(self.slots) + len(replicates) > self.count:
            return False
        for number, replicate in enumerate(replicates):
            if len(self.slots) >= self._room:
                return False
            cost = self._pay(text + written, number)
            if cost is None:  # the rest of the group once there is more
                self.short = True
                return False
            self.slots.append(Slot(question, replicate, text, gold, cost, number))
        return True


_OF_SETTINGS = {"scores": "iif(json_valid(settings), coalesce(settings ->> '$.scores', ''), '')"}
_PLAN = (
    f"SELECT {', '.join(_OF_SETTINGS.get(name, name) for name in PlanSlots.__slots__)} FROM plan WHERE id = ?"
)


def read(connection: Connection, plan_id: int) -> PlanSlots:
    """Reads a plan's rule and progress."""
    row = connection.execute(_PLAN, (plan_id,)).fetchone()
    return PlanSlots(**dict(zip(PlanSlots.__slots__, row, strict=True)))


def choose_slots(connection: Connection, plan: PlanSlots, count: int, pay: Pay) -> Choice:
    """Up to `count` slots: of the base first, then of questions to be sampled again.

    Replicates that share a request follow each other and are not split by `count`: a larger group is chosen if it
    comes first.
    """
    basket = _Basket(count, plan.room, pay)
    cursor, skipped = _base(connection, plan, basket)
    if plan.want and cursor >= plan.end and basket.is_open and not basket.slots:
        _again(connection, plan, basket)
    return Choice(slots=basket.slots, cursor=cursor, skipped=skipped, short=basket.short)


def is_complete(connection: Connection, plan: PlanSlots) -> bool:
    """Whether the plan needs no more samples, whatever the pending verdicts are."""
    if plan.target and plan.accepted >= plan.target:
        return True
    if plan.cursor < plan.end:
        return False
    if not plan.want:
        return True
    again = connection.execute("SELECT 1 FROM need WHERE plan_id = ? LIMIT 1", (plan.id,)).fetchone()
    return again is None and plan.pending == 0


def open_in_other_plans(connection: Connection, plan_ids: Sequence[int]) -> list[bool]:
    """For each plan, whether samples it shares are still open in another plan of the same fingerprint."""
    return [
        bool(
            connection.execute(
                "SELECT p.claimed - p.stored - p.failed >"
                " (SELECT count(*) FROM sample s WHERE s.plan_id = p.id AND s.state = 'open') FROM plan p WHERE p.id = ?",
                (plan,),
            ).fetchone()[0]
        )
        for plan in plan_ids
    ]


_OPEN_OR_CORRECT = (
    "(SELECT count(*) FROM sample o WHERE o.question_id = q.id AND o.recipe = ?1 AND o.replicate < ?2"
    f" AND (o.verdict = 1 OR {PENDING.replace('s.', 'o.')}))"
)

_BASE = (
    "SELECT q.id, q.position, q.text, q.gold,"
    " (SELECT coalesce(sum(1 << (s.replicate - ?3)), 0) FROM sample s WHERE s.question_id = q.id"
    "   AND s.recipe = ?1 AND s.replicate >= ?3 AND s.replicate < ?4),"
    " ?5 <> '' AND EXISTS (SELECT 1 FROM sample u WHERE u.question_id = q.id AND u.recipe = ?5 AND u.verdict = 1),"
    f" CASE WHEN ?6 THEN {_OPEN_OR_CORRECT} ELSE 0 END,"
    " CASE WHEN ?11 = '' THEN -1 ELSE (SELECT coalesce(sum(1 << (w.replicate - ?3)), 0) FROM sample w WHERE w.question_id = q.id"
    "   AND w.recipe = ?11 AND w.state = 'stored' AND w.replicate >= ?3 AND w.replicate < ?4) END,"
    " CASE WHEN ?11 = '' THEN '' ELSE coalesce((SELECT w.rationale || ' --> ' || w.answer FROM sample w WHERE w.question_id = q.id"
    "   AND w.recipe = ?11 AND w.state = 'stored' AND w.replicate >= ?3 AND w.replicate < ?4"
    "   ORDER BY length(w.rationale || w.answer) DESC LIMIT 1), '') END"
    " FROM question q WHERE q.task_id = ?7 AND q.split = ?8 AND q.active = 1 AND q.position >= ?9 AND q.position < ?12"
    " ORDER BY q.position LIMIT ?10"
)


def _base(connection: Connection, plan: PlanSlots, basket: _Basket) -> tuple[int, int]:
    """Continues the base; returns the cursor and how many slots were skipped as not needed."""
    taken: Counter[int] = Counter()  # of each question, in this choice
    cursor, skipped = plan.cursor, 0
    spares = 0 < plan.base <= plan.want  # a larger base is for everyone
    while cursor < plan.end and basket.is_open:
        place = group_at(cursor, questions=plan.questions, rationales=plan.base, group=plan.together)
        page = connection.execute(
            _BASE,
            (plan.recipe, plan.rationales, place.first, place.first + place.size, plan.unless, int(spares))
            + (plan.task_id, plan.split, place.position, basket.count, plan.scores, plan.questions),
        ).fetchall()
        if not page:
            cursor = place.end
        for question, position, text, gold, existing, excluded, had, there, written in page:
            missing = [place.first + bit for bit in range(place.size) if not existing >> bit & 1]
            if excluded:
                needed: list[int] = []
            elif spares:  # fewer perhaps for now: then a verdict brings it back, as one to be asked again
                needed = missing[: max(0, plan.want - had - taken[question])]
            else:  # of those that are scored, what is there
                needed = [each for each in missing if there >> (each - place.first) & 1]
            if needed:
                if not basket.add(question, text, gold, needed, written):
                    return cursor, skipped
                if spares:
                    taken[question] += len(needed)
            skipped += len(missing) - len(needed)
            cursor = place.after(position)
    return cursor, skipped


_AGAIN = (
    f"SELECT q.id, n.tries, {MOST.format(correct='n.correct')}, q.text, q.gold, EXISTS (SELECT 1 FROM sample s WHERE s.question_id = q.id"
    "   AND s.recipe = ?1 AND s.replicate >= n.tries AND s.replicate < n.tries + ?3),"
    f" CASE WHEN ?3 > 1 THEN {_OPEN_OR_CORRECT} END"
    " FROM plan p CROSS JOIN need n ON n.plan_id = p.id CROSS JOIN question q ON q.id = n.question_id WHERE p.id = ?4"
    " ORDER BY n.tries, n.correct, n.question_id LIMIT ?5"
)


def _again(connection: Connection, plan: PlanSlots, basket: _Basket) -> None:
    page = connection.execute(
        _AGAIN, (plan.recipe, plan.rationales, plan.together, plan.id, basket.count)
    ).fetchall()
    for question, tries, most, text, gold, exists, had in page:
        size = 1 if had is None else min(plan.together, plan.want - had, most - tries)
        replicates = range(tries, tries + size)
        chosen = _lowest_free(connection, plan, question)[:size] if exists else list(replicates)
        if not basket.add(question, text, gold, chosen):
            return


def _lowest_free(connection: Connection, plan: PlanSlots, question: int) -> list[int]:
    """The unused replicates of a question that has a gap (it was done, then lost a verdict)."""
    used = connection.execute(
        "SELECT replicate FROM sample WHERE question_id = ? AND recipe = ? AND replicate < ?",
        (question, plan.recipe, plan.rationales),
    ).fetchall()
    return sorted(set(range(plan.rationales)) - {row[0] for row in used})
