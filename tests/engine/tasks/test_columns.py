from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from engine.config.tasks import FieldsConfig, TaskConfig
from engine.errors import TaskDataError
from engine.tasks import BUILTIN_TASKS, load_task
from engine.tasks.columns import boxed, mapped
from engine.tasks.known_datasets import KNOWN_DATASETS, by_columns, by_name

ROWS = {
    "gsm8k": {"question": "Tom has 2 and 3?", "answer": "He has 2+3=<<2+3=5>>5.\nSo five.\n#### 5,000"},
    "svamp": {"ID": "chal-1", "Body": "Tom has 2 dvds. ", "Question": "How many?", "Answer": 2.0, "Type": "x"},
    "multiarith": {"question": " Tom has 2 and 3? ", "final_ans": "5"},
    "aqua": {"question": "Which?", "options": ["A)5(√3 + 1)", "B)6", "C)None"], "rationale": "By it.", "correct": "B"},
    "commonsense_qa": {
        "id": "7",
        "question": "Where is it?",
        "question_concept": "it",
        "choices": {"label": ["A", "B", "C"], "text": ["bank", "library", "new york"]},
        "answerKey": "C",
    },
    "strategy_qa": {"qid": "q1", "question": "Is it?", "answer": True, "facts": "It is."},
    "addsub": {"iIndex": 1, "sQuestion": "Joan found 70 . ", "lEquations": ["X=70"], "lSolutions": [70.0]},
    "math": {"problem": "Find $x$.", "solution": "It is $\\boxed{\\frac{1}{2}}$.", "level": "Level 1", "type": "Algebra"},
    "math_500": {"problem": "Find $x$.", "solution": "It is.", "answer": "2", "unique_id": "a/1.json"},
}  # fmt: skip
READ = {
    "gsm8k": ("Tom has 2 and 3?", "5,000", "He has 2+3=<<2+3=5>>5.\nSo five.", None),
    "svamp": ("Tom has 2 dvds. How many?", "2", None, "chal-1"),
    "multiarith": ("Tom has 2 and 3?", "5", None, None),
    "aqua": ("Which? Answer choices: (A) 5(√3 + 1), (B) 6, (C) None.", "B", "By it.", None),
    "commonsense_qa": ("Where is it? Answer choices: (A) bank, (B) library, (C) new york.", "C", None, "7"),
    "strategy_qa": ("Is it?", "yes", "It is.", "q1"),
    "addsub": ("Joan found 70 .", "70", None, None),
    "math": ("Find $x$.", "\\frac{1}{2}", "It is $\\boxed{\\frac{1}{2}}$.", None),
    "math_500": ("Find $x$.", "2", "It is.", "a/1.json"),
}


def refuse(reason: str):
    raise TaskDataError(reason)


@pytest.mark.parametrize("name", ROWS)
def test_known_data_sets(name: str) -> None:
    known = KNOWN_DATASETS[name]
    row = mapped(ROWS[name], known.fields, known.formats[0], refuse)
    assert tuple(row.get(key) for key in ("question", "answer", "rationale", "id")) == READ[name]


@pytest.mark.parametrize("name", [name for name in ROWS if name not in ("gsm8k",)])
def test_a_copy_is_recognised_by_its_columns(name: str) -> None:
    known = by_columns(ROWS[name])
    if name == "strategy_qa":  # its question and answer are ours already
        assert known is None
    else:
        assert known is not None and known.fields == KNOWN_DATASETS[name].fields


def test_the_twelve_tasks_of_the_paper_have_a_source() -> None:
    by_program = {"coin_flip", "last_letter_concatenation", "date_understanding", "tracking_shuffled_objects"}
    others = {"single_eq", "addsub", "multiarith", "gsm8k", "aqua", "svamp", "commonsense_qa", "strategy_qa"}
    assert (
        by_program <= set(BUILTIN_TASKS) and others <= set(KNOWN_DATASETS) and len(by_program | others) == 12
    )


def test_names_of_the_paper_and_of_the_hub() -> None:
    assert by_name("gsm8k") is by_name("openai/gsm8k") is KNOWN_DATASETS["gsm8k"]
    assert by_name("aqua_rat") is KNOWN_DATASETS["aqua"]
    assert by_name("someone/else") is None


@pytest.mark.parametrize(("answer", "letter"), [(2, "C"), ("1", "B"), ("c d", "B"), ("A", "A"), (0, "A")])
def test_a_choice_by_letter_position_or_text(answer: object, letter: str) -> None:
    fields = FieldsConfig(choices="options")
    row = mapped(
        {"question": "q?", "answer": answer, "options": ["a b", "c d", "e"]}, fields, "choice", refuse
    )
    assert row["answer"] == letter


def test_labels_that_are_numbers() -> None:
    fields = FieldsConfig(choices="choices")
    choices = {"label": ["1", "2", "3"], "text": ["a", "b", "c"]}
    assert (
        mapped({"question": "q?", "answer": "1", "choices": choices}, fields, "choice", refuse)["answer"]
        == "A"
    )
    listed = [{"label": "1", "text": "a"}, {"label": "2", "text": "b"}]
    assert (
        mapped({"question": "q?", "answer": "2", "choices": listed}, fields, "choice", refuse)["answer"]
        == "B"
    )


@pytest.mark.parametrize(
    ("row", "fields", "reason"),
    [
        ({"q": "x"}, {"question": "q"}, r"answer: missing \(columns of the row: q\)"),
        ({"question": "x", "answer": "4"}, {"answer_pattern": "#### (.+)"}, "does not match '4'"),
        ({"question": "x", "answer": "Z", "c": ["a", "b"]}, {"choices": "c"}, r"answer: expected one of the choices \(labels: A, B; got 'Z'\)"),
        ({"question": "x", "answer": "A", "c": ["a"]}, {"choices": "c"}, "expected a list of 2 to 26"),
        ({"question": "x", "answer": True}, {}, 'answer: true or false, but the task has `answer = "number"`; expected `answer = "yes_no"`'),
        ({"question": "x", "answer": None}, {}, "answer: empty"),
        ({"question": "x", "answer": "", "c": ["a", "b"]}, {"choices": "c"}, "to leave out a split without answers, name the other splits"),
        ({"question": 3, "answer": "4"}, {}, "question: expected a string"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(row, fields, reason) -> None:
    with pytest.raises(TaskDataError, match=reason):
        mapped(row, FieldsConfig(**fields), "number", refuse)


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        (r"So \boxed{1} and $\boxed{\frac{1}{\sqrt{2}}}$.", r"\frac{1}{\sqrt{2}}"),
        (r"\fbox{7}", "7"),
        (r"$\boxed 5$", "5"),
        (r"\boxed{open", None),
        ("nothing", None),
    ],
)
def test_boxed(text: str, inside: str | None) -> None:
    assert boxed(text) == inside


@pytest.mark.parametrize("pattern", ["####", "(a)(b)", "("])
def test_a_pattern_has_one_group(pattern: str) -> None:
    with pytest.raises(ValidationError, match="regular expression"):
        FieldsConfig(answer_pattern=pattern)


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_a_file_with_columns_of_other_names(tmp_path: Path, form: str) -> None:
    rows = [
        {"n": f"x{i}", "Body": f"Tom has {i}.", "Question": "How many?", "Answer": i, "more": 1}
        for i in range(9)
    ]
    path = tmp_path / f"a.{form}"
    if form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif form == "csv":
        path.write_text(
            "n,Body,Question,Answer,more\n" + "".join(",".join(map(str, r.values())) + "\n" for r in rows)
        )
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    fields = FieldsConfig(question="{Body} {Question}", answer="Answer", id="n")
    task = load_task("t", TaskConfig(source=path.name, answer="number", fields=fields), tmp_path)
    assert {(q.key, q.text, q.answer) for q in task.questions} == {
        (f"x{i}", f"Tom has {i}. How many?", str(i)) for i in range(9)
    }
    with pytest.raises(TaskDataError, match=r"nope.*(Body|row has)"):
        other = FieldsConfig(question="nope", answer="Answer")
        load_task("t", TaskConfig(source=path.name, answer="number", fields=other), tmp_path)
