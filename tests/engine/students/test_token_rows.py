from __future__ import annotations

import pytest

from engine.errors import JobFailed
from engine.methods import TrainRow
from engine.students.spec import write_rows
from engine.students.token_rows import read_rows, tokenize
from tests.engine.students.runs import paper


class Letters:
    """A tokenizer of letters: 1 starts a prompt, 2 ends any text, as some published ones do."""

    eos_token_id = 2

    def __call__(self, texts, add_special_tokens=True):
        found = [[ord(letter) for letter in text] for text in texts]
        return {"input_ids": [[1, *ids, 2] for ids in found] if add_special_tokens else found}


def row(question="Why", rationale="So", answer="no") -> TrainRow:
    return TrainRow(sample_id=1, question_id=1, question=question, rationale=rationale, answer=answer)


def test_a_row_is_prompt_and_completion_and_one_end() -> None:
    [tokens], dropped = tokenize(paper(Letters()), [row()], max_length=100)
    assert dropped == 0
    assert "".join(map(chr, tokens.ids[1:-1])) == "Why ### So --> no END"
    assert tokens.ids[0] == 1 and tokens.ids[-1] == 2 and list(tokens.ids).count(2) == 1
    assert tokens.prompt == 1 + len("Why ###") and tokens.supervised == len(" So --> no END") + 1
    assert list(tokens.ids[: tokens.prompt]) == paper(Letters()).prompt_ids(["Why"])[0]


def test_an_encoder_reads_a_closed_question_and_a_decoder_writes_a_closed_completion() -> None:
    [tokens], _ = tokenize(paper(Letters(), True), [row()], max_length=100)
    assert "".join(map(chr, tokens.ids)) == "\1Why\2So --> no\2"
    assert tokens.prompt == len("\1Why\2")


def test_long_rows_are_dropped_and_counted() -> None:
    rows, dropped = tokenize(paper(Letters()), [row(), row(rationale="So " * 40), row()], max_length=30)
    assert len(rows) == 2 and dropped == 1
    with pytest.raises(
        JobFailed, match=r"all 1 training rows are longer than training.max_length = 9 .*shortest has 23"
    ):
        tokenize(paper(Letters()), [row()], max_length=9)


def test_rows_come_back_from_their_file_whatever_is_in_them(tmp_path) -> None:
    rows = [row(question="a\u2028b\x85c \U0001f600"), row(rationale=None)]
    write_rows(tmp_path / "manifest.jsonl", rows)
    assert read_rows(tmp_path / "manifest.jsonl", TrainRow) == rows


def test_a_broken_file_is_named_with_its_line(tmp_path) -> None:
    path = tmp_path / "manifest.jsonl"
    with pytest.raises(JobFailed, match=r"manifest.jsonl is missing"):
        read_rows(path, TrainRow)
    path.write_text(row().model_dump_json() + '\n{"sample_id": 1}\n')
    with pytest.raises(JobFailed, match=r"^manifest.jsonl:2: question_id: Field required"):
        read_rows(path, TrainRow)
