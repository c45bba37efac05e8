"""What must hold of sampling by need and of fallback teachers: said from the rows alone, at every commit."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping

from daemon.pipeline import Pipeline
from daemon.sampling.plans import ActivePlan
from state.sqlite import Connection

Limits = Mapping[tuple[int, str], Collection[tuple[int, int, int]]]
"""By task and recipe, the rules that its plans had so far: base, most, want."""
Kept = Mapping[tuple[str, int], tuple[int, int]]
"""By recipe and question, what an edit left to a recipe: samples that are open or correct, and all of them."""
BEFORE = 8
"""A claim that is on disk now was decided at most this many commits ago."""


class Rules:
    """Looks on at every commit of one life."""

    def __init__(
        self, connection: Connection, pipeline: Pipeline, limits: Limits, kept: Kept, *, edited: bool
    ) -> None:
        """`edited`: plans may have begun under other rules."""
        self._connection = connection
        self._pipeline = pipeline
        self._limits, self._kept = limits, kept
        self._newest = self._newest_sample()
        self._since = self._newest if edited else 0
        self._most_looked_at: tuple[int, int] | None = None
        self._out: deque[set[str]] = deque(maxlen=BEFORE)
        self._targets = self._read_targets()

    def committed(self, parked: Collection[str]) -> None:
        """Checks what is on disk now; teachers were `parked` since the last commit, and may be at work again."""
        self._check_most()
        self._check_targets()
        self._check_fallbacks(parked)
        self._check_waits()

    def _check_most(self) -> None:
        """Nothing is more than before unless a sample is new or open again."""
        newest, still_open = self._connection.execute(
            "SELECT (SELECT max(id) FROM sample), (SELECT count(*) FROM sample WHERE state = 'open')"
        ).fetchone()
        before, self._most_looked_at = self._most_looked_at, (newest or 0, still_open)
        if before is None or self._most_looked_at[0] > before[0] or still_open > before[1]:
            check_most(self._connection, self._limits, self._kept)

    def _newest_sample(self) -> int:
        return int(self._connection.execute("SELECT coalesce(max(id), 0) FROM sample").fetchone()[0])

    def _read_targets(self) -> dict[int, tuple[int, int, int, int, int]]:
        """Of plans that share their samples with no other: target, claimed, accepted, graded, pending."""
        return {
            row[0]: row[1:]
            for row in self._connection.execute(
                "SELECT p.id, p.target, p.claimed, p.accepted, p.accepted + p.rejected,"
                " p.claimed - p.accepted - p.rejected - p.failed FROM plan p WHERE p.target > 0 AND NOT EXISTS"
                " (SELECT 1 FROM plan o WHERE o.id <> p.id AND o.task_id = p.task_id AND o.recipe = p.recipe)"
                " AND p.active = 1"
            )
        }

    def _check_targets(self) -> None:
        """No more is out than is expected to bring what is missing."""
        before, self._targets = self._targets, self._read_targets()
        for plan, (target, claimed, *now) in self._targets.items():
            if plan in before and claimed > before[plan][1]:
                most = max(_open_at_most(target, *found[:2]) for found in (now, before[plan][2:]))
                assert now[2] <= most, f"plan {plan}: {now[2]} are out, {most} would do"

    def _check_fallbacks(self, parked: Collection[str]) -> None:
        """A fallback is given new work only while every teacher before it is out."""
        plans = {plan.id: plan for plan in self._pipeline.plans if plan.fallbacks}
        if not plans:
            return
        names = {teacher.id: teacher.name for teacher in self._pipeline.teachers}
        self._out.append(
            {*parked, *(teacher.name for teacher in self._pipeline.teachers if teacher.health.parked)}
        )
        since, self._newest = self._newest, self._newest_sample()
        for plan_id, teacher in self._connection.execute(
            "SELECT s.plan_id, a.teacher_id FROM sample s JOIN attempt a ON a.sample_id = s.id WHERE s.id > ?",
            (since,),
        ).fetchall():
            plan, name = plans.get(plan_id), names[teacher]
            if plan is None or name in plan.teachers:
                continue
            before = plan.all_teachers[: plan.all_teachers.index(name)]
            assert any(out.issuperset(before) for out in self._out) or self._is_poor(plan, before), (
                f"{name} took over {plan.config.name} from {before}"
            )

    def _check_waits(self) -> None:
        """A plan that waits for another has claimed nothing before that one was done."""
        if self._connection.execute("SELECT 1 FROM command WHERE kind = 'retry'").fetchone():
            return  # it is not done any more
        for plan in self._pipeline.plans:
            first = next((each for each in self._pipeline.plans if each.id == plan.needs), None)
            if first is None or first.done:
                continue
            begun = self._connection.execute(
                "SELECT 1 FROM sample WHERE plan_id = ? AND id > ?", (plan.id, self._since)
            ).fetchone()  # the plan's `claimed` also counts samples that it shares
            assert begun is None, f"{plan.config.name} began before {first.config.name} was done"

    def _is_poor(self, plan: ActivePlan, before: tuple[str, ...]) -> bool:
        """Whether one of the teachers has a budget of its own, which may be used up."""
        return any(
            teacher.config.budget_usd is not None
            for teacher in self._pipeline.teachers
            if teacher.name in before
        )


def _open_at_most(target: int, accepted: int, graded: int) -> int:
    missing = max(0, target - accepted)
    return -(-missing * (graded + 1) // (accepted + 1))


def check_most(connection: Connection, limits: Limits, kept: Kept) -> None:
    """No question has more correct and open rationales, or more in all, than the rules of its recipe's plans let it.

    Of plans that share their samples, one looks at its first rationales alone: asked again, they come on top of those
    that others claimed in their place, and so do those that an edit left to a recipe: they were bought under other rules.
    """
    asked_again = connection.execute("SELECT 1 FROM command WHERE kind = 'retry'").fetchone()
    for task, recipe, question, open_or_correct, samples in samples_by_question(connection):
        if (rules := limits.get((task, recipe))) is None:
            continue
        hopes = [max(base, want) if want else most for base, most, want in rules]
        before, all_before = kept.get((recipe, question), (0, 0))
        hoped = before + (sum(hopes) if asked_again else max(hopes))
        most = max(all_before, *(most for _, most, _ in rules))
        assert open_or_correct <= hoped, f"question {question}: {open_or_correct} of {hoped}"
        assert samples <= most, f"question {question}: {samples} rationales of {most}"


def samples_by_question(connection: Connection) -> list[tuple[int, str, int, int, int]]:
    """Task, recipe, question, and its samples: those that are open or correct, and all of them."""
    return connection.execute(
        "SELECT task_id, recipe, question_id,"
        " sum(coalesce(verdict = 1, 0) OR state = 'open' OR (state = 'stored' AND verdict IS NULL)), count(*)"
        " FROM sample GROUP BY task_id, recipe, question_id"
    ).fetchall()


def check_rules(connection: Connection, *, edited: bool = False) -> None:
    """At the end: each question has what its plan asks for, or all it may have.

    `edited`: a plan may have asked questions before it was told to leave out those that another solved.
    """
    for plan, task, recipe, base, want, most, target, accepted, unless, wrong, shared in connection.execute(
        "SELECT p.id, p.task_id, p.recipe, p.base, p.want, p.rationales, p.target, p.accepted, p.unless,"
        " coalesce(p.settings ->> '$.stop_after_wrong', 0), EXISTS (SELECT 1 FROM plan o WHERE o.id <> p.id"
        " AND o.task_id = p.task_id AND o.recipe = p.recipe) FROM plan p WHERE p.active = 1"
    ).fetchall():
        if target and accepted >= target:
            continue
        for question, samples, correct, solved in connection.execute(
            "SELECT q.id, count(s.id), coalesce(sum(s.verdict = 1), 0), EXISTS (SELECT 1 FROM sample u"
            " WHERE u.question_id = q.id AND u.recipe = ? AND u.verdict = 1) FROM question q LEFT JOIN sample s"
            " ON s.question_id = q.id AND s.recipe = ? AND s.replicate < ? WHERE q.task_id = ? AND q.active = 1"
            " GROUP BY q.id",
            (unless, recipe, most, task),
        ):
            if solved:
                assert samples == 0 or edited, (
                    f"plan {plan} asked question {question}, which the plan before solved"
                )
                continue
            hopeless = wrong and not correct and samples >= wrong
            enough = hopeless or (correct >= want if want else samples >= base)
            # Another plan of the same recipe may ask for more.
            assert edited or shared or not wrong or correct or samples <= wrong, (
                f"plan {plan} asked question {question} {samples} times, all wrong; {wrong} would do"
            )
            assert samples == most or (enough and (samples >= base or base <= want)), (
                f"plan {plan} is done, and question {question} has {correct} correct of {samples}"
            )
