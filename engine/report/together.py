"""Students that answer together: votes and cascades, counted from stored answers. Pure; nothing is asked again.

A cascade asks the cheapest student first, then the next, until one answer was given often enough; where that never happens it
asks the teacher. How often is enough is chosen on dev.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.config.derivation import members_of
from engine.grading.majority import common_form, majority
from engine.report.accuracy_table import text_table
from engine.report.matrix import Point
from engine.strategies import STRATEGIES
from engine.students.sizes import BUILTIN, SIZES
from state.confidence_interval import accuracy_text, percent, wilson
from state.figure_data import FigureData
from state.results import PlanResult, Results, RunResult, TaskResult
from state.safe import safe

READING = (
    "Counted from stored answers; nothing was trained or asked for it. `vote` takes the answer of most members (of equally frequent ones that of the"
    " first member), `mean member` is the mean of their accuracies. MFLOPs are those of a question, of all members together."
)
CASCADE = (
    "A cascade asks the students of a group one after the other, the cheapest first, until `equal answers` of them agree, and the teacher where they"
    " never do. Cheap is what has few FLOPs an answer; where these are not known of all, what has few parameters. MFLOPs are those of the students,"
    " a question, and the teacher has none that are known. Accuracy is on test, with its 95 % interval (Wilson). `←` marks the row that dev chooses: the highest accuracy there, of equal ones"
    " the cheapest. Where the teacher was not asked the dev questions, it counts there with its share of correct samples on train. `$` is what"
    " the teacher's samples on test cost, a thousand questions; the students cost no dollars."
)

Answer = tuple[str | None, bool]
"""An extracted answer, and whether it is correct."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Students whose answers to the questions of a task are counted together."""

    name: str
    task: TaskResult
    runs: tuple[RunResult, ...]
    """One of each student, in the order of the configuration."""


def cheapest_first(group: Group) -> Group:
    """The same students by the FLOPs of an answer, or by their parameters, whichever is known of all; else as they are."""
    for cost in (lambda run: run.flops, _parameters):
        costs = [cost(run) for run in group.runs]
        if None not in costs:
            order = sorted(range(len(costs)), key=lambda place: (costs[place], place))
            return replace(group, runs=tuple(group.runs[place] for place in order))
    return group


def _parameters(run: RunResult) -> int | None:
    """The parameters of a student; of a run of an older version those that its base has at most, if that is a built-in one."""
    size = SIZES.get(run.base.removeprefix(BUILTIN)) if run.base.startswith(BUILTIN) else None
    return run.parameters if run.parameters is not None or size is None else size.weights


def groups(results: Results, found: Sequence[Point]) -> list[Group]:
    """The groups that `[[derived]]` names for a vote, and the seeds of each cell of an experiment."""
    config = results.config
    newest = {(run.student, run.task): run for run in results.runs if not run.superseded}
    made: list[Group] = []
    names = [str(each["name"]) for kind in ("students", "derived") for each in _tables(config.get(kind))]
    for each in _tables(config.get("derived")):
        if each.get("combine") != "vote":
            continue
        members = members_of(
            [str(name) for name in each.get("of", ())], [name for name in names if name != each["name"]]
        )
        made += [
            Group(name=str(each["name"]), task=task, runs=runs)
            for task in results.tasks
            if len(runs := tuple(newest[name, task.name] for name in members if (name, task.name) in newest))
            > 1
        ]
    tasks = {task.name: task for task in results.tasks}
    made += [
        Group(name=f"seeds of {point.name}", task=tasks[point.task], runs=point.runs)
        for point in found
        if len(point.runs) > 1 and point.task in tasks
    ]
    return made


def _tables(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value or () if isinstance(each, Mapping) and "name" in each]


def together(results: Results, figure_data: FigureData, found: Sequence[Point]) -> list[str]:
    """The section of the report, as paragraphs; empty where no students form a group."""
    of_all = [group for group in groups(results, found) if _answers(group, figure_data, "test")]
    if not of_all:
        return []
    body = [_vote_row(group, figure_data) for group in of_all]
    head = [
        "task",
        "group",
        "members",
        "n",
        "mean member %",
        "vote % (95 % interval)",
        "best member on dev %",
        "MFLOPs",
    ]
    parts = ["## Students together", READING, safe(text_table(head, body, left=2))]
    rows = [row for group in of_all for row in _cascade_rows(group, results, figure_data)]
    if rows:
        head = ["task", "group", "teacher", "equal answers", "students asked", "MFLOPs", "teacher asked %"]
        head += ["accuracy % (95 % interval)", "dev %", "$", ""]
        parts += ["### Cascades", CASCADE, safe(text_table(head, rows, left=3, words=("",)))]
    return parts


def _flops(group: Group, figure_data: FigureData, split: str) -> dict[int, list[float]]:
    """The FLOPs of each member's answer to each question; empty where those of one are not known."""
    each = [figure_data.flops.get((run.run_id, group.task.name, split), {}) for run in group.runs]
    common = set(each[0]).intersection(*each[1:])
    return {question: [own[question] for own in each] for question in sorted(common)}


def _answers(group: Group, figure_data: FigureData, split: str) -> dict[int, list[Answer]]:
    """The answers of all members to each question that all of them were asked."""
    each = [figure_data.given.get((run.run_id, group.task.name, split), {}) for run in group.runs]
    common = set(each[0]).intersection(*each[1:])
    return {question: [answers[question] for answers in each] for question in sorted(common)}


def vote(answers: Sequence[Answer], answer_format: str) -> bool:
    """Whether the answer of most is correct; without any answer it is not. Equal answers have equal verdicts."""
    found = majority([text for text, _ in answers], answer_format)
    return found is not None and answers[found.first][1]


def _vote_row(group: Group, figure_data: FigureData) -> list[str]:
    asked = _answers(group, figure_data, "test")
    n = len(asked)
    correct = sum(vote(answers, group.task.answer_format) for answers in asked.values())
    mean = sum(correct for answers in asked.values() for _, correct in answers) / (n * len(group.runs))
    best = max(group.runs, key=lambda run: run.dev_accuracy if run.dev_accuracy is not None else -1.0)
    flops = [run.flops for run in group.runs if run.flops is not None]
    return [
        group.task.name,
        group.name,
        str(len(group.runs)),
        f"{n:,}",
        percent(mean),
        accuracy_text(correct / n, *wilson(correct, n)),
        percent(best.accuracy) if best.dev_accuracy is not None else "–",
        _mega(sum(flops) if len(flops) == len(group.runs) else None),
    ]


def _mega(flops: float | None) -> str:
    return "–" if flops is None else f"{flops / 1e6:,.1f}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cascade:
    """A cascade with one threshold, on some questions."""

    equal: int
    """Equal answers that are enough; one more than there are students: the teacher is always asked."""
    accuracy: float
    correct: float
    n: int
    students: float
    """Students asked a question, on average."""
    teacher: float
    """Share of the questions that the teacher was asked."""
    flops: float | None = None
    """Of the students that were asked a question, on average; None: not known."""


def cascade(
    questions: Mapping[int, Sequence[Answer]],
    teacher: Mapping[int, float],
    answer_format: str,
    equal: int,
    flops: Mapping[int, Sequence[float]] | None = None,
) -> Cascade:
    """What a cascade with this threshold would have answered.

    Args:
        questions: the answers to each question, in the order in which students are asked.
        teacher: how likely the teacher is correct on each question: 0 or 1 where it was asked.
        answer_format: of the task.
        equal: how many equal answers are enough.
        flops: of the answers, in the same order; without those of all questions the cascade's are not known.
    """
    correct = spent = 0.0
    asked = passed = 0
    known = flops is not None and flops.keys() >= questions.keys()
    for question, answers in questions.items():
        students, verdict = _stops(answers, answer_format, equal)
        correct += teacher.get(question, 0.0) if verdict is None else verdict
        asked, passed = asked + students, passed + (verdict is None)
        if flops is not None and known:
            spent += sum(flops[question][:students])
    n = len(questions)
    return Cascade(
        equal=equal,
        accuracy=correct / n,
        correct=correct,
        n=n,
        students=asked / n,
        teacher=passed / n,
        flops=spent / n if known else None,
    )


def _stops(answers: Sequence[Answer], answer_format: str, equal: int) -> tuple[int, bool | None]:
    """How many students are asked, and whether their answer is correct; None: the teacher is asked."""
    given: dict[str, int] = {}
    for place, (text, is_correct) in enumerate(answers, 1):
        if text is None or not text.strip():
            continue
        form = common_form(text, answer_format)
        given[form] = given.get(form, 0) + 1
        if given[form] >= equal:
            return place, is_correct
    return (len(answers) if equal <= len(answers) else 0), None


def chosen(on_dev: Sequence[Cascade], price: float) -> int:
    """The threshold that dev chooses: the highest accuracy, of equal ones that which asks the teacher least, then the fewest FLOPs."""

    def worth(each: Cascade) -> tuple[float, float, float]:
        students = each.students if each.flops is None else each.flops
        return round(each.accuracy, 9), -each.teacher * (price or 1.0), -students

    return max(on_dev, key=worth).equal


def _teacher(task: TaskResult, results: Results) -> PlanResult | None:
    """The plan of the first teacher that was asked for rationales on test."""
    return next(
        (
            plan
            for plan in results.plans
            if (plan.task, plan.split) == (task.name, "test")
            and plan.strategy in STRATEGIES
            and STRATEGIES[plan.strategy].writes_rationale
            and plan.stored
        ),
        None,
    )


def _cascade_rows(group: Group, results: Results, figure_data: FigureData) -> list[list[str]]:
    """One row for each threshold; none where there are no answers of a teacher on test."""
    plan = _teacher(group.task, results)
    if plan is None:
        return []
    ordered = cheapest_first(group)
    told = {
        question: float(correct)
        for question, correct in figure_data.teacher_answers.get((plan.name, group.task.name), {}).items()
    }
    test = {
        question: answers
        for question, answers in _answers(ordered, figure_data, "test").items()
        if question in told
    }
    dev = _answers(ordered, figure_data, "dev")
    if not test:
        return []
    form = group.task.answer_format
    thresholds = range(1, len(group.runs) + 2)
    known = _teacher_on_dev(plan, results)
    expected = dict.fromkeys(dev, known) if known is not None else {}
    flops = {split: _flops(ordered, figure_data, split) for split in ("dev", "test")}
    on_dev = (
        [cascade(dev, expected, form, equal, flops["dev"]) for equal in thresholds]
        if dev and expected
        else []
    )
    price = (plan.sampled_usd or 0.0) / max(1, plan.stored) * 1000
    pick = chosen(on_dev, price) if on_dev else None
    rows = []
    for equal in thresholds:
        found = cascade(test, told, form, equal, flops["test"])
        right = round(found.correct)
        rows.append(
            [
                group.task.name,
                group.name,
                ", ".join(plan.teachers),
                str(equal) if equal <= len(group.runs) else "teacher alone",
                f"{found.students:.2f}",
                _mega(found.flops),
                percent(found.teacher),
                accuracy_text(found.accuracy, *wilson(right, found.n)),
                percent(on_dev[equal - 1].accuracy) if on_dev else "–",
                f"{price * found.teacher:.3f}",
                "←" if equal == pick else "",
            ]
        )
    return rows


def _teacher_on_dev(plan: PlanResult, results: Results) -> float | None:
    """The teacher's share of correct samples on dev, else on train; None where it has neither."""
    for split in ("dev", "train"):
        own = [
            each
            for each in results.plans
            if (each.task, each.split, each.teachers) == (plan.task, split, plan.teachers) and each.stored
        ]
        if own:
            return sum(each.accepted for each in own) / sum(
                each.accepted + each.rejected + each.failed for each in own
            )
    return None
