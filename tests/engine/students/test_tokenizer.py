from __future__ import annotations

import pytest

from engine.errors import JobFailed
from engine.students.tokenizer import check_markers, keep_tokenizer, load_tokenizer, make_tokenizer, row_texts
from tests.engine.students.runs import COT, PAPER, rows
from tests.lazily import Lazy

transformers = Lazy("transformers")

TEXTS = row_texts(rows()[0], PAPER) | {"A sum: 1234 and 56 + 7 = 63.\nNew line, café!"}


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer(TEXTS, 200)


def test_every_training_text_comes_back_as_it_was(tokenizer) -> None:
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == text


def test_digits_stand_alone_and_words_are_pieces(tokenizer) -> None:
    assert tokenizer.tokenize("1234 56") == ["1", "2", "3", "4", " ", "5", "6"] or tokenizer.tokenize(
        "1234 56"
    ) == ["1", "2", "3", "4", " 5", "6"]
    assert len(tokenizer.tokenize(" Carla flips. Carla flips.")) == 6


def test_the_unseen_is_unknown_and_special_tokens_are_not_shown(tokenizer) -> None:
    ids = tokenizer("§")["input_ids"]
    assert ids == [tokenizer.unk_token_id]
    assert (
        tokenizer.decode([*tokenizer("yes")["input_ids"], tokenizer.eos_token_id], skip_special_tokens=True)
        == "yes"
    )


def test_a_tokenizer_that_cannot_write_the_arrow_is_refused(tokenizer) -> None:
    check_markers(tokenizer, COT.markers)
    with pytest.raises(JobFailed, match=r"turns '-->' into '(<unk>)+'"):
        check_markers(make_tokenizer(["no arrows here"], 50), COT.markers)


def test_the_same_rows_give_the_same_tokenizer_and_it_is_made_once(tmp_path) -> None:
    taught = rows()[0]
    keep_tokenizer(tmp_path / "one", taught, PAPER)
    keep_tokenizer(tmp_path / "two", taught[::-1], PAPER)
    assert (tmp_path / "one" / "tokenizer.json").read_bytes() == (
        tmp_path / "two" / "tokenizer.json"
    ).read_bytes()
    keep_tokenizer(tmp_path / "one", taught[:2], PAPER)
    kept = load_tokenizer(str(tmp_path / "one"))
    assert len(kept) == len(transformers.AutoTokenizer.from_pretrained(tmp_path / "two"))
    text = taught[0].question
    assert kept.decode(kept(text)["input_ids"]) == text
