from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import export_formats
from engine.data_card import FORMS as CARD_FORMS
from engine.export_formats import FORMS, in_form, write_csv, write_jsonl, write_parquet
from state.safe import safe
from tests.lazily import Lazy

pq = Lazy("pyarrow.parquet")

HOSTILE = 'two\nlines, "quoted" \u2028 \x1b[2J \x00 ü 😀'


def row(number: int, **more: Any) -> dict[str, Any]:
    return {
        **{"sample_id": number, "question": f"q{number}?", "rationale": HOSTILE, "answer": "yes"},
        **{"correct": True, "flags": [], "cost_usd": 0.0, **more},
    }


def test_json_lines_come_back_as_they_were() -> None:
    output = io.StringIO()
    rows = [row(1), row(2, flags=["truncated"], correct=None)]
    assert write_jsonl(rows, output) == 2
    assert [json.loads(line) for line in output.getvalue().split("\n")[:-1]] == rows
    assert "ü 😀" in output.getvalue()
    assert write_jsonl([], output) == 0


@pytest.mark.parametrize("page", [1, 2, 5000])
def test_parquet_comes_back_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    monkeypatch.setattr(export_formats, "PAGE", page)
    rows = [
        row(1, extracted=None, correct=None),
        row(2, extracted="yes", flags=["truncated"], cost_usd=0.25),
        row(3, extracted=None, correct=False),
    ]
    assert write_parquet(iter(rows), tmp_path / "rows.parquet") == 3
    assert pq.read_table(tmp_path / "rows.parquet").to_pylist() == rows


@pytest.mark.parametrize("page", [1, 5000])
def test_a_training_set_of_several_students_fits_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(export_formats, "PAGE", page)
    plain = {"student": "plain", "sample_id": None, "question_id": 1, "rationale": None, "answer": "yes"}
    rows = [plain, {**plain, "student": "cot", "sample_id": 5, "rationale": "because"}]
    assert write_parquet(rows, tmp_path / "rows.parquet") == 2
    assert pq.read_table(tmp_path / "rows.parquet").to_pylist() == rows


def test_no_row_is_an_empty_file_that_can_be_read(tmp_path: Path) -> None:
    assert write_parquet([], tmp_path / "rows.parquet") == 0
    assert pq.read_table(tmp_path / "rows.parquet").num_rows == 0


def test_the_form_for_fine_tuning_elsewhere() -> None:
    found = list(in_form([row(1, rationale="because"), row(2, rationale=None)], "openai-chat"))
    assert found == [
        {
            "messages": [
                {"role": "user", "content": "q1?"},
                {"role": "assistant", "content": "because\n\nAnswer: yes"},
            ]
        },
        {"messages": [{"role": "user", "content": "q2?"}, {"role": "assistant", "content": "Answer: yes"}]},
    ]


def test_chat_messages_keep_what_the_row_is() -> None:
    given = row(7, student="s", label="gold", rationale="one\n</THINK> two ")
    (plain,) = in_form([given], "chat")
    assert plain["messages"][0] == {"role": "user", "content": "q7?"}
    assert plain["messages"][1]["content"].endswith("\n\nAnswer: yes")
    assert {name: plain[name] for name in plain if name != "messages"} == {
        **{"sample_id": 7, "student": "s", "label": "gold"},
    }
    (thought,) = in_form([given], "think")
    assert thought["messages"][1]["content"] == "<think>\none\n two\n</think>\n\nyes"
    (alone,) = in_form([{**given, "rationale": None}], "think")
    assert alone["messages"][1]["content"] == "yes"


def test_the_forms_of_other_trainers() -> None:
    given, reply = row(7, student="s", rationale="because"), "because\n\nAnswer: yes"
    kept = {"sample_id": 7, "student": "s"}
    assert [list(in_form([given], form)) for form in ("prompt-completion", "sharegpt", "alpaca")] == [
        [
            {
                "prompt": [{"role": "user", "content": "q7?"}],
                "completion": [{"role": "assistant", "content": reply}],
                **kept,
            }
        ],
        [{"conversations": [{"from": "human", "value": "q7?"}, {"from": "gpt", "value": reply}], **kept}],
        [{"instruction": "q7?", "input": "", "output": reply, **kept}],
    ]
    assert set(FORMS) <= set(CARD_FORMS), "a card says what its rows are"


def test_messages_come_back_from_parquet(tmp_path: Path) -> None:
    rows = list(in_form([row(1), row(2)], "think"))
    assert write_parquet(rows, tmp_path / "a.parquet") == 2
    assert pq.read_table(tmp_path / "a.parquet").to_pylist() == rows


def written_as_csv(rows: list[dict[str, Any]], *, terminal: bool = False) -> list[list[str]]:
    output = io.StringIO(newline="")
    assert write_csv(rows, output, terminal=terminal) == len(rows)
    return list(csv.reader(io.StringIO(output.getvalue(), newline="")))


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-1+2", "-x", "@SUM(1)", "\t=1", "\r=1", "  =1", "\n=1", "＝1", "-", "'=1", "'quoted'"]
)  # fmt: skip
def test_no_cell_is_a_formula(text: str) -> None:
    assert written_as_csv([{"a": text}])[1] == ["'" + text]


@pytest.mark.parametrize(
    "value",
    ["-5", "+5", "-0.5", "-.5", "-1,250", "-1e-5", "-12%", "5", "", "a=b", "1-2", "it's", -5, -0.25, 7],
)
def test_numbers_and_other_texts_stay(value: object) -> None:
    assert written_as_csv([{"a": value}, {"a": ""}])[1:] == [[str(value)], [""]]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_a_csv_comes_back_without_one_apostrophe(texts: list[str]) -> None:
    found = written_as_csv([{"a": text, "b": "x"} for text in texts])
    assert [row[0].removeprefix("'") for row in found[1:]] == texts


def test_other_values_in_a_csv() -> None:
    rows = [row(1, correct=None, flags=["a", "b"], table={"x": 1.5}), row(2, table={"x": "ü"})]
    header, *found = written_as_csv(rows)
    assert header == list(rows[0])
    assert [dict(zip(header, each, strict=True))["correct"] for each in found] == ["", "true"]
    assert found[0][-1] == '{"x": 1.5}' and found[1][-1] == '{"x": "ü"}'
    assert written_as_csv([]) == []


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_terminal_gets_no_control_character(form: str) -> None:
    output = io.StringIO(newline="")
    given = [{"a": "".join(map(chr, range(0x3000)))}]
    if form == "csv":
        write_csv(given, output, terminal=True)
    else:
        write_jsonl(given, output)
        assert [json.loads(output.getvalue())] == given
    assert safe(output.getvalue()) == output.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_the_names_of_columns_are_cells_too(terminal: bool) -> None:
    output = io.StringIO()
    write_csv([{"=1+1": 1, "\x9b31m\u202e": 2}], output, terminal=terminal)
    first, second = next(csv.reader(io.StringIO(output.getvalue())))
    assert first == "'=1+1"
    assert ("\x9b" in second) is not terminal and ("\u202e" in second) is not terminal
