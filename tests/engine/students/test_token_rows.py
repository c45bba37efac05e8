from __future__ import annotations

import pytest

from engine.errors import JobFailed
from engine.methods import METHODS, Asking, TrainRow
from engine.students.spec import write_rows
from engine.students.token_rows import read_rows, tokenize
from tests.engine.students.runs import paper
from tests.lazily import Lazy

architecture = Lazy("engine.students.architecture")


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


TALK = TrainRow(
    sample_id=1,
    question_id=1,
    question="Why",
    rationale="a ** b",
    answer="no",
    turns=(("ask", "a"), ("solve", "b"), ("ask", "done"), ("answer", "no")),
)


def test_of_a_row_with_turns_the_turns_of_its_part_are_learned_and_no_mark() -> None:
    method = METHODS["socratic"]
    form = paper(Letters(), method=method)
    for part, learned in (("", " a\2 b\2 done\2 no\2"), ("ask", " a\2 done\2"), ("solve", " b\2 no\2")):
        [tokens], _ = tokenize(form, [TALK.model_copy(update={"part": part})], max_length=200)
        assert "".join(map(chr, tokens.ids[1:])) == (
            "Why ### Sub-question: a\2 Solution: b\2 Sub-question: done\2 Answer: no\2"
        )
        assert "".join(map(chr, tokens.ids[tokens.places])) == learned
        assert tokens.supervised == len(learned) and tokens.prompt == 1 + len("Why ###")
    batch = architecture.DECODER.collate([tokens, tokens], 0)
    flat = batch.inputs["input_ids"].reshape(-1)
    assert "".join(map(chr, batch.targets)) == " b\2 no\2" * 2
    assert "".join(chr(flat[at]) for at in batch.keep) == ": b: no" * 2, "what stands before a learned token"
    packed = architecture.DECODER.pack([tokens, tokens])
    assert "".join(map(chr, packed.targets)) == " b\2 no\2" * 2
    assert "".join(chr(packed.inputs["input_ids"][0][at]) for at in packed.keep) == ": b: no" * 2


def test_inference_sees_the_tokens_that_were_trained() -> None:
    form = paper(Letters(), method=METHODS["socratic"])
    [tokens], _ = tokenize(form, [TALK], max_length=200)
    for place, (role, text) in enumerate(TALK.turns):
        [before] = form.asked_ids([Asking("Why", role, TALK.turns[:place])])
        said = [*before, *map(ord, f" {text}"), 2]
        assert said == tokens.ids[: len(said)].tolist()
    assert form.asked_ids(["Why"]) == form.prompt_ids(["Why"])


def test_a_base_that_cannot_take_turns_is_refused() -> None:
    with pytest.raises(JobFailed, match="this base is an encoder-decoder"):
        paper(Letters(), True, METHODS["socratic"])

    class Endless(Letters):
        eos_token_id = None

    with pytest.raises(JobFailed, match="has none: choose another base"):
        paper(Endless(), method=METHODS["socratic"])
