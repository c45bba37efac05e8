from __future__ import annotations

import json
from pathlib import Path

import pytest

from daemon.sampling.outcomes import judge
from engine.config import load_config
from engine.config.students import CurationConfig
from engine.curation.selection import curate
from engine.errors import ConfigError
from engine.grading import UNLABELLED, grade_unlabelled
from engine.tasks import load_task
from state.training_samples import StoredSample

pytestmark = pytest.mark.anyio
RAW = '[tasks.raw]\nsource = "raw.jsonl"\nanswer = "number"\nlabelled = false\n'
TEACHER = '[teachers.a]\nbuiltin = true\nmodel = "practice-large"\n'


def written(folder: Path, rows: list[dict[str, object]], text: str = RAW):
    (folder / "raw.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "config.toml").write_text(TEACHER + text)
    return load_config(folder / "config.toml")


def test_answers_are_not_read_and_all_questions_are_for_training(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"question": f"What is {n} plus 1?"} for n in range(10)]
    rows[3]["answer"] = "no number"
    rows[4]["answer"] = "5"
    task = written(tmp_path, rows).tasks["raw"]
    found = load_task("raw", task, tmp_path)
    assert [(each.answer, each.split, each.rationale) for each in found.questions] == [
        ("", "train", None)
    ] * 10
    rows = [{**row, "split": "test" if n < 3 else "train"} for n, row in enumerate(rows)]
    found = load_task("raw", written(tmp_path, rows).tasks["raw"], tmp_path)
    assert len(found.questions) == 7 and "3 questions of dev and test are left out" in found.notes[0]


def test_columns_and_choices_are_read_without_an_answer(tmp_path: Path) -> None:
    fields = '[tasks.raw.fields]\nquestion = "stem"\nanswer = "key"\nchoices = "options"\n'
    rows: list[dict[str, object]] = [{"stem": "Where?", "options": ["home", "sea"]}]
    task = written(tmp_path, rows, RAW.replace("number", "choice") + fields).tasks["raw"]
    [question] = load_task("raw", task, tmp_path).questions
    assert question.text == "Where? Answer choices: (A) home, (B) sea." and question.answer == ""


def test_a_builtin_task_has_the_same_questions_without_their_answers(tmp_path: Path) -> None:
    text = '[tasks.raw]\nsource = "builtin:multi_step_arithmetic"\nanswer = "number"\ntrain = 5\n'
    known = load_task("raw", written(tmp_path, [], text + "dev = 0\ntest = 0\n").tasks["raw"], tmp_path)
    raw = load_task("raw", written(tmp_path, [], text + "labelled = false\n").tasks["raw"], tmp_path)
    assert [each.text for each in raw.questions] == [each.text for each in known.questions]
    assert {each.answer for each in raw.questions} == {""}


PLAN = '[[plans]]\nname = "p"\n'
STUDENT = '[[students]]\nname = "s"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (RAW + "test = 5\n", "test: questions without gold answers measure nothing"),
        (RAW + 'split_by = "template"\n', "split_by has no effect on a task without gold answers"),
        (RAW + PLAN + 'split = "test"\n', "task raw has no gold answers, so it has no test questions"),
        (
            RAW + PLAN + '[[plans]]\nname = "q"\nstrategy = "rationalize"\nneeds = "p"\n',
            "has no gold answer that rationalize",
        ),
        (RAW + PLAN + STUDENT, 'task raw has no gold answers: set curation = { labels = "majority" }'),
        (
            RAW + PLAN + STUDENT + 'method = "fine-tune"\n',
            "fine-tune learns gold answers, and task raw has none",
        ),
        (RAW + '[experiment]\nteachers = ["a"]\n', "an experiment measures on test questions"),
    ],
)
def test_what_needs_a_gold_answer_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        written(tmp_path, [{"question": "q"}], text)
    assert told in caught.value.message


async def test_the_verdict_is_whether_an_answer_can_be_read() -> None:
    for text, answered in (("It is 12 apples.", True), ("I do not know.", False)):
        found = await judge(text, "", "number", "How many?", labelled=False)
        assert (found.grader, found.correct) == (UNLABELLED, answered)
    for form, text in (("math", "\\frac{1}{2}"), ("text", "Paris"), ("yes_no", "No."), ("choice", "(B)")):
        assert grade_unlabelled(text, form).correct, form


def labelled(number: int, question: int, answer: str, *, correct: bool) -> StoredSample:
    return StoredSample(
        sample_id=number,
        question_id=question,
        question="q?",
        gold="8" if question == 2 else "",
        rationale=f"Way {number}.",
        extracted=answer,
        correct=correct,
        truncated=False,
        task_id=question,
    )


def test_votes_label_what_has_no_gold_answer_and_gold_answers_the_rest() -> None:
    samples = [
        *(labelled(number, 1, answer, correct=True) for number, answer in ((1, "4"), (2, "4"), (3, "5"))),
        *(
            labelled(number, 2, answer, correct=answer == "8")
            for number, answer in ((4, "7"), (5, "7"), (6, "8"))
        ),
    ]
    settings = CurationConfig(labels="majority", votes=2)
    formats = {1: "number", 2: "number"}
    found = curate(samples, rationales=8, settings=settings, formats=formats, gold=frozenset({2}))
    assert [each.sample_id for each in found.samples] == [1, 2, 6]
    assert {key: vote.answer for key, vote in found.labels.items()} == {1: "4"}
    without = curate(samples, rationales=8, settings=settings, formats=formats)
    assert [each.sample_id for each in without.samples] == [1, 2, 4, 5]
