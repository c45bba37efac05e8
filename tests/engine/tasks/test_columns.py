from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from engine.config.tasks import FieldsConfig, TaskConfig
from engine.errors import TaskDataError
from engine.grading.formats import FORMATS
from engine.tasks import BUILTIN_TASKS, load_task
from engine.tasks.answers import UNREADABLE
from engine.tasks.columns import boxed, columns_of, mapped, needed_columns, unmapped
from engine.tasks.known_datasets import KNOWN_DATASETS, by_columns, by_name
from engine.tasks.row_files import plain
from tests.lazily import Lazy

pa, pq = Lazy("pyarrow"), Lazy("pyarrow.parquet")

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
        ({"question": "x", "answer": "4", "r": "y"}, {"rationale": "r", "rationale_pattern": "#### (.+)"}, "does not match 'y'"),
        ({"question": "x", "answer": 2, "c": ["a", "b"]}, {"choices": "c"}, r"answer: expected one of the choices \(labels: A, B; positions: 0 to 1; got 2\)"),
        ({"question": "x", "answer": -1, "c": ["a", "b"]}, {"choices": "c"}, "to leave out a split without answers"),
        ({"question": "x", "answer": 0, "o1": "a", "o2": "b"}, {"choices": "{o1} {o2}"}, r"labels: 1, 2; positions"),
        ({"question": "x", "answer": ["5", "five"]}, {}, r'answer: 2 accepted answers.*`answer = "answer.0"` in \[tasks.NAME.fields\] takes the first'),
        ({"question": "x", "answer": {"value": "a", "aliases": []}}, {}, r'answer: an object with value, aliases; name one .*`answer = "answer.value"`'),
        ({"q": "x", "m": [{"role": "system", "content": "x"}]}, {"question": "m", "answer": "m"}, "expected a user message followed by an assistant message"),
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


LINES = [
    ({"A": "bank", "B": "library"}, "choices", "B", "B"),
    ({"a": "bank", "b": "library"}, "choices", "b", "B"),
    ({"b": "library", "a": "bank"}, "choices", "B", "B"),
    ({"A": "bank", "B": "library", "C": None}, "choices", "(b)", "B"),
    ({"text": ["bank", "library"], "label": ["A", "B"]}, "choices", "Library", "B"),
    ({"text": ["bank", "library"], "label": ["1", "2"]}, "choices", 2, "B"),
    (["bank", "library"], "choices", 1, "B"),
    (["bank", "library"], "choices", "b.", "B"),
    (["bank", "library"], "choices", ["B"], "B"),
    (["A) bank", "B) library"], "choices", "bank", "A"),
]


@pytest.mark.parametrize(("choices", "column", "answer", "expected"), LINES)
def test_choices_in_every_shape(choices: object, column: str, answer: object, expected: str) -> None:
    value = plain(answer)
    row = {"question": "Where?", "answer": value, "choices": choices}
    made = mapped(row, FieldsConfig(choices=column), "choice", refuse)
    assert made["answer"] == expected
    assert made["question"] == "Where? Answer choices: (A) bank, (B) library."


@pytest.mark.parametrize(
    ("names", "answer"), [("A B", "B"), ("option_a option_b", "b"), ("opa opb", 1), ("option1 option2", "2"), ("left right", "library")]
)  # fmt: skip
def test_choices_with_a_column_each(names: str, answer: object) -> None:
    one, two = names.split()
    row = {"question": "Where?", "answer": plain(answer), one: "bank", two: "library", "more": "x"}
    fields = FieldsConfig(choices=f"{{{one}}} {{{two}}}")
    made = mapped(row, fields, "choice", refuse)
    assert (made["question"], made["answer"]) == ("Where? Answer choices: (A) bank, (B) library.", "B")
    assert {one, two} <= set(columns_of(fields)) and {one, two} <= set(needed_columns(fields))


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ({"choices": ["a", "b"]}, '`choices = "choices"`'),
        ({"options": {"A": "a", "B": "b"}}, '`choices = "options"`'),
        ({"A": "a", "B": "b", "C": "c"}, '`choices = "{A} {B} {C}"`'),
        ({"option_a": "a", "option_b": "b"}, '`choices = "{option_a} {option_b}"`'),
    ],
)
def test_choices_that_nobody_named_are_not_left_out(row: dict[str, object], line: str) -> None:
    for read in (
        lambda row: unmapped(row, "choice", refuse),
        lambda row: mapped(row, FieldsConfig(), "choice", refuse),
    ):
        with pytest.raises(TaskDataError) as raised:
            read({"question": "Which?", "answer": "A", **row})
        assert line in raised.value.message
        listed = {"question": "Which? (A) a (B) b", "answer": "A", **row}
        assert read(listed)["answer"] == "A"
    assert unmapped({"question": "Which?", "answer": "4", **row}, "number", refuse)["answer"] == "4"


def test_an_answer_that_is_none_of_the_choices_is_unreadable() -> None:
    row = {"question": "x", "answer": "Z", "c": ["a", "b"]}
    made = mapped(row, FieldsConfig(choices="c"), "choice", refuse)
    assert (made["answer"], made[UNREADABLE]) == ("Z", "not one of the choices (labels: A, B)")


SOLUTION = "He has 2+3=5.\nSo five."


@pytest.mark.parametrize(
    ("answer", "gold", "rationale"),
    [
        (f"{SOLUTION}\n#### 1,250", "1,250", SOLUTION),
        (f"{SOLUTION} #### five dogs \n", "five dogs", SOLUTION),
        ("#### 72", "72", None),
        ("a #### b\n#### c", "c", "a #### b"),
        ("# Title\n#### Part\none\ntwo", "# Title\n#### Part\none\ntwo", None),
        ("##### 5", "##### 5", None),
        ("72", "72", None),
        ("open ####", "open ####", None),
    ],
)
def test_gsm8k_as_published_in_every_format(answer: str, gold: str, rationale: str | None) -> None:
    for form in FORMATS:
        for made in (
            unmapped({"question": "q?", "answer": answer}, form, refuse),
            mapped({"question": "q?", "answer": answer}, FieldsConfig(), form, refuse),
        ):
            assert (made["answer"], made.get("rationale")) == (gold, rationale)
    own = {"question": "q?", "answer": answer, "rationale": "mine"}
    assert unmapped(own, "number", refuse)["rationale"] == "mine"
    assert mapped(own, FieldsConfig(rationale="rationale"), "number", refuse)["rationale"] == "mine"


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "q?"}, {"role": "assistant", "content": "a"}],
        [{"from": "human", "value": "q?"}, {"from": "gpt", "value": "a"}],
        [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": "reply"},
            {"role": "user", "content": [{"type": "text", "text": "q?"}]},
            {"role": "assistant", "content": "a"},
        ],
    ],
)
def test_chats(messages: list[dict[str, object]]) -> None:
    assert unmapped({"messages": messages, "id": 3}, "text", refuse) == {"messages": messages, "id": 3, "question": "q?", "answer": "a"}  # fmt: skip
    made = mapped({"chat": messages}, FieldsConfig(question="chat", answer="chat"), "text", refuse)
    assert made == {"question": "q?", "answer": "a"}


def test_a_position_in_a_nested_column() -> None:
    row = {"question": "q?", "answers": {"text": ["a", "b"]}}
    assert mapped(row, FieldsConfig(answer="answers.text.1"), "text", refuse)["answer"] == "b"
    with pytest.raises(TaskDataError, match=r"answers\.text\.2: missing"):
        mapped(row, FieldsConfig(answer="answers.text.2"), "text", refuse)


def test_true_and_false_without_a_mapping() -> None:
    assert unmapped({"question": "q?", "answer": False}, "yes_no", refuse)["answer"] == "no"
    assert unmapped({"question": "q?", "answer": plain(1)}, "yes_no", refuse)["answer"] == "yes"
    assert unmapped({"question": "q?", "answer": "1"}, "number", refuse)["answer"] == "1"
    assert unmapped({"question": "q?", "answer": ["5"]}, "number", refuse)["answer"] == "5"
