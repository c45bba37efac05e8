"""What may change around an answer without changing its verdict, over generated and recorded answers of every format.

Each relation makes many pairs of completions with one gold answer, whose verdicts must agree. A test that fails shows how many pairs
disagree and the shortest of them. With `-s` each test prints how many examples it ran on.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from random import Random

import pytest

from engine.grading import FORMATS, grade
from tests.engine.grading import generated
from tests.engine.grading.generated import SAMPLES, Sample, marked, shown, wordings
from tests.engine.grading.test_recorded import FORMATS as TASKS
from tests.engine.grading.test_recorded import rows

PLACES = ("{}", "The answer is {}.", "Answer: {}")
"""Where an answer stands before a change: alone or behind a mark."""
MEASURED = ("number", "math", "interval")
"""Formats whose answers have units."""
SAMPLED = 120
SAMPLED_MATH = 12
"""Samples for each relation; mathematics asks another process, some 20 ms each time."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two completions that must get the same verdict for a gold answer."""

    before: str
    after: str
    gold: str
    question: str | None = None


pytestmark = pytest.mark.usefixtures("patient")

Relation = Callable[[Sample, str, str, str, Random], Iterator[tuple[str, str]]]
"""A sample, its answer, another answer, the format: completions before and after a change."""


def reason_behind(
    sample: Sample, answer: str, other: str, kind: str, random: Random
) -> Iterator[tuple[str, str]]:
    mark = random.choice(generated.REASONED)
    yield marked(answer, kind, PLACES[1]), mark.format(shown(answer, kind), sample.reason(answer, other))


def thought_before(
    sample: Sample, answer: str, other: str, kind: str, random: Random
) -> Iterator[tuple[str, str]]:
    before = marked(answer, kind, random.choice(PLACES))
    yield before, random.choice(generated.THOUGHTS).format(shown(other, kind)) + before


def closing_remark(
    sample: Sample, answer: str, other: str, kind: str, random: Random
) -> Iterator[tuple[str, str]]:
    before = marked(answer, kind, random.choice(PLACES))
    yield before, before + random.choice(generated.CLOSINGS)


def further_question(
    sample: Sample, answer: str, other: str, kind: str, random: Random
) -> Iterator[tuple[str, str]]:
    before = marked(answer, kind, random.choice(PLACES))
    yield before, before + random.choice(generated.FURTHER).format(shown(other, kind))


def other_wording(
    sample: Sample, answer: str, other: str, kind: str, random: Random
) -> Iterator[tuple[str, str]]:
    before = marked(answer, kind, PLACES[1])
    for after in random.sample(wordings(answer, kind), 3):
        yield before, after


def emphasis(sample: Sample, answer: str, other: str, kind: str, random: Random) -> Iterator[tuple[str, str]]:
    place = random.choice(PLACES)
    yield (
        marked(answer, kind, place),
        place.format(random.choice(generated.EMPHASISED).format(shown(answer, kind))),
    )


def unit(sample: Sample, answer: str, other: str, kind: str, random: Random) -> Iterator[tuple[str, str]]:
    place = random.choice(PLACES)
    if answer.lstrip("-").replace(".", "").replace(",", "").isdecimal() or kind == "interval":
        closed = answer.endswith("]")  # "[3, 5] kg"
        yield (
            place.format(answer),
            place.format(answer + (" kg" if closed else random.choice(generated.UNITS))),
        )


def full_stop(
    sample: Sample, answer: str, other: str, kind: str, random: Random
) -> Iterator[tuple[str, str]]:
    place = random.choice(("{}", "Answer: {}", "The answer is {}", "\\boxed{{{}}}"))
    before = place.format(answer if "boxed" in place else shown(answer, kind))
    yield before, before + random.choice((".", "。", " ."))


RELATIONS: dict[str, Relation] = {
    each.__name__: each
    for each in (
        reason_behind, thought_before, closing_remark, further_question, other_wording, emphasis, unit, full_stop,
    )
}  # fmt: skip


def pairs(relation: Relation, answer_format: str) -> Iterator[Pair]:
    random = Random(f"{relation.__name__} {answer_format}")
    for _ in range(SAMPLED_MATH if answer_format == "math" else SAMPLED):
        sample = SAMPLES[answer_format](random)
        for answer, other in ((sample.right, sample.wrong), (sample.wrong, sample.right)):
            for before, after in relation(sample, answer, other, answer_format, random):
                yield Pair(before, after, sample.gold, sample.question)


def hold(name: str, answer_format: str, examples: Iterator[Pair]) -> None:
    """Fails if the verdicts of a pair differ."""
    broken, total = [], 0
    for total, pair in enumerate(examples, 1):  # noqa: B007 — counts
        verdicts = [
            grade(completion, pair.gold, answer_format, question=pair.question)
            for completion in (pair.before, pair.after)
        ]
        if verdicts[0].correct is not verdicts[1].correct:
            broken.append((len(pair.before) + len(pair.after), pair, verdicts))
    tell(name, answer_format, total, len(broken))
    if broken:
        _, pair, verdicts = min(broken, key=lambda each: each[0])
        pytest.fail(
            f"{name}, {answer_format}: {len(broken)} of {total} pairs disagree; the shortest, for the gold {pair.gold!r}:\n"
            f"before: {pair.before!r}: {verdicts[0].correct} ({verdicts[0].reason})\n"
            f"after:  {pair.after!r}: {verdicts[1].correct} ({verdicts[1].reason})",
            pytrace=False,
        )


def never(name: str, answer_format: str, said: str, total: int, broken: list[tuple[str, str, str]]) -> None:
    """Fails with the shortest of (completion, gold, reason) that are graded as they may not be."""
    tell(name, answer_format, total, len(broken))
    if broken:
        completion, gold, reason = min(broken, key=lambda each: len(each[0]) + len(each[1]))
        pytest.fail(
            f"{name}, {answer_format}: {len(broken)} of {total} {said}; the shortest: {completion!r} for the gold {gold!r} ({reason})",
            pytrace=False,
        )


def tell(name: str, answer_format: str, total: int, broken: int) -> None:
    print(f"\n{name}, {answer_format}: {total} examples, {broken} broken", end="")  # noqa: T201 — for a run with -s
    assert total


@pytest.mark.parametrize(
    ("name", "answer_format"),
    [each for each in product(RELATIONS, FORMATS) if each[0] != "unit" or each[1] in MEASURED],
)
def test_the_verdict_stays(name: str, answer_format: str) -> None:
    hold(name, answer_format, pairs(RELATIONS[name], answer_format))


@pytest.mark.parametrize("answer_format", FORMATS)
def test_a_marked_answer_other_than_the_gold_is_never_correct(answer_format: str) -> None:
    random = Random(answer_format)
    broken, total = [], 0
    for _ in range(8 if answer_format == "math" else 20):
        sample = SAMPLES[answer_format](random)
        reason = sample.reason(sample.wrong, sample.right)
        said = wordings(sample.wrong, answer_format)
        said += [mark.format(shown(sample.wrong, answer_format), reason) for mark in generated.REASONED]
        for completion in random.sample(said, 20) if answer_format == "math" else said:
            verdict = grade(completion, sample.gold, answer_format, question=sample.question)
            total += 1
            if verdict.correct:
                broken.append((completion, sample.gold, verdict.reason))
    never("other than the gold", answer_format, "wrong answers are correct", total, broken)


@pytest.mark.parametrize("answer_format", FORMATS)
def test_a_gold_answer_is_correct_by_itself(answer_format: str) -> None:
    random = Random(f"gold {answer_format}")
    broken = []
    samples = [SAMPLES[answer_format](random) for _ in range(30 if answer_format == "math" else 300)]
    golds = [(sample.gold, sample.question) for sample in samples]
    if answer_format == "number":
        golds += [(text, None) for text in generated.NUMBERS]
    for gold, question in golds:
        verdict = grade(gold, gold, answer_format, question=question)
        if not verdict.correct:
            broken.append((gold, gold, verdict.reason))
    never("gold against itself", answer_format, "golds are wrong", len(golds), broken)


def test_numbers_are_compared_the_same_both_ways() -> None:
    random = Random("both ways")
    texts = [*generated.NUMBERS]
    for _ in range(8):
        sample = generated.number(random)
        texts += [sample.gold, sample.right, sample.wrong]
    broken, total = [], 0
    for at, one in enumerate(texts):
        for other in texts[:at]:
            there, back = (grade(first, second, "number") for first, second in ((one, other), (other, one)))
            total += 1
            if there.correct is not back.correct:
                broken.append((one, other, f"{there.reason}, but {back.reason}"))
    never("swapped", "number", "pairs are equal in one direction only", total, broken)


@pytest.mark.parametrize("answer_format", FORMATS)
def test_grading_twice_is_the_same(answer_format: str) -> None:
    random = Random(f"twice {answer_format}")
    asked = []
    for _ in range(20 if answer_format == "math" else 150):
        sample = SAMPLES[answer_format](random)
        completion = random.choice(wordings(random.choice((sample.right, sample.wrong)), answer_format))
        asked.append((completion, sample.gold, answer_format, sample.question))
    first, second = ([grade(*each[:3], question=each[3]) for each in order] for order in (asked, asked[::-1]))
    tell(
        "twice",
        answer_format,
        len(asked),
        sum(one != two for one, two in zip(first, second[::-1], strict=True)),
    )
    assert first == second[::-1]


@pytest.mark.parametrize("task", TASKS)
def test_the_verdict_on_a_recorded_completion_stays(recorded: Path, task: str) -> None:
    """A real answer and the same one with its rationale as thought before it, a remark or another question behind it."""
    examples: list[Pair] = []
    for row in rows(recorded, task)[::5][:60]:
        final, rationale = row["final"], row["rationale"]
        changed = (
            f"<think>{rationale}</think>\n\n{final}",
            f"{final}\n\nI hope this helps!",
            f"{final}\n\nQuestion: {row['question']}\nAnswer: {row['gold']}",
        )
        examples += [Pair(final, after, row["gold"], row["question"]) for after in changed]
    hold("recorded answers", TASKS[task], iter(examples))


@pytest.mark.parametrize("task", TASKS)
def test_a_recorded_rationale_before_a_mark_changes_nothing(recorded: Path, task: str) -> None:
    examples = []
    for row in rows(recorded, task)[::12][:30]:
        other = next(each["gold"] for each in rows_of(recorded, task) if each["gold"] != row["gold"])
        for answer in (row["gold"], other):
            marked_answer = f"The answer is {answer}."
            examples.append(
                Pair(marked_answer, f"{row['rationale']}\n\n{marked_answer}", row["gold"], row["question"])
            )
    hold("recorded rationales", TASKS[task], iter(examples))


@pytest.mark.parametrize("task", TASKS)
def test_a_recorded_rationale_behind_a_mark_changes_nothing(recorded: Path, task: str) -> None:
    """What a teacher answered in the end, with its own rationale as the reason behind it."""
    own = [
        row for row in rows(recorded, task) if row["pred_logged"] and "answer" not in row["rationale"].lower()
    ]
    examples = []
    for row in own[::6][:40]:
        marked_answer = f"The answer is {row['pred_logged']}."
        after = f"{marked_answer[:-1]}, because {row['rationale'].strip()}"
        examples.append(Pair(marked_answer, after, row["gold"], row["question"]))
    hold("recorded reasons", TASKS[task], iter(examples))


def rows_of(folder: Path, task: str) -> list[dict]:
    """The first rows of a task's own training or test split."""
    split = "train" if (folder / "tasks" / f"{task}.train.jsonl.gz").is_file() else "test"
    with gzip.open(folder / "tasks" / f"{task}.{split}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [
            {"gold": row["answer"], **row} for _, row in zip(range(200), map(json.loads, file), strict=False)
        ]


@pytest.mark.parametrize("task", TASKS)
def test_recorded_golds_are_correct_by_themselves(recorded: Path, task: str) -> None:
    golds = rows_of(recorded, task)
    broken = []
    for row in golds:
        verdict = grade(row["gold"], row["gold"], TASKS[task], question=row["question"])
        if not verdict.correct:
            broken.append((row["gold"], row["gold"], verdict.reason))
    never("recorded golds against themselves", TASKS[task], "golds are wrong", len(golds), broken)
