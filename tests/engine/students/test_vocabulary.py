from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from engine.config.students import StudentConfig
from engine.errors import JobFailed
from engine.methods import METHODS
from engine.students.vocabulary import MOST, open_base, outline_for, unwritten_golds
from tests.daemon.site import coterie
from tests.engine.forms.families import make_tokenizer
from tests.engine.students.runs import make_base

ALPHABET = [*"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,-/>#?()= "]
GOLDS = [("5", "q?"), ("\\frac{1}{2}", "q?"), ("x^2", "q?"), ("1 < x", "q?"), ("Evelyn", "q?")]


def base(folder: Path, alphabet: list[str], translates: bool = True) -> Path:
    """A base's files: a vocabulary of single characters, as poor as T5's or not."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>"], show_progress=False)
    tokenizer.train_from_iterator(alphabet, trainer)
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"is_encoder_decoder": translates}))
    return folder


@pytest.mark.parametrize("method", [name for name, each in METHODS.items() if each.trains])
@pytest.mark.parametrize("translates", [True, False])
def test_answers_that_the_vocabulary_lacks_are_named(tmp_path: Path, method: str, translates: bool) -> None:
    files = open_base(str(base(tmp_path / "poor", ALPHABET, translates)))
    assert files is not None
    tried, lost = unwritten_golds(files, StudentConfig(name="s", method=method), GOLDS, "text")
    assert (tried, [(each.gold, each.read) for each in lost]) == (
        5,
        [("\\frac{1}{2}", "frac12"), ("x^2", "x2"), ("1 < x", "1  x")],
    )
    rich = open_base(str(base(tmp_path / "rich", [*ALPHABET, *"\\{}^<"], translates)))
    assert rich is not None and unwritten_golds(
        rich, StudentConfig(name="s", method=method), GOLDS, "text"
    ) == (5, [])


def test_the_form_of_the_student_decides_what_is_tried(tmp_path: Path) -> None:
    """In a chat template the answer follows the reasoning; a gold answer may spell a special token or an end mark."""
    make_tokenizer("qwen3").save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    files = open_base(str(tmp_path))
    assert files is not None and files.facts.template is not None
    golds = [("5", "q?"), ("<|im_end|>", "q?"), ("the END of it", "q?"), ("a --> b", "q?")]
    for form in (
        None,
        {"type": "paper"},
        {"type": "plain", "end": "."},
        {"type": "chat", "reasoning": "text"},
    ):
        student = StudentConfig.model_validate({"name": "s", "base": str(tmp_path), "form": form})
        tried, lost = unwritten_golds(files, student, golds, "text")
        assert tried == 4 and not [each.gold for each in lost if each.gold != "<|im_end|>"], form
    assert outline_for(StudentConfig(name="s", base=str(tmp_path)), files.facts).no_answer.endswith(
        "'</think>'"
    )
    poor = open_base(str(base(tmp_path / "poor", ALPHABET, translates=False)))
    assert poor is not None
    chat = StudentConfig.model_validate({"name": "s", "base": str(tmp_path), "form": {"type": "chat"}})
    with pytest.raises(JobFailed, match="has no chat template"):
        unwritten_golds(poor, chat, golds, "text")


def test_the_number_of_gold_answers_is_bounded(tmp_path: Path) -> None:
    files = open_base(str(base(tmp_path / "poor", ALPHABET)))
    assert files is not None
    many = ((str(n), "q?") for n in range(MOST + 500))
    assert unwritten_golds(files, StudentConfig(name="s", method="fine-tune"), many, "number") == (MOST, [])


def test_what_is_not_here_is_not_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert open_base(str(tmp_path)) is None
    assert open_base("nobody/nothing") is None
    poor = base(tmp_path / "poor", ALPHABET)
    (poor / "tokenizer.json").write_text("{}")
    assert open_base(str(poor)) is None


def test_check_says_it(tmp_path: Path) -> None:
    base(tmp_path / "poor", ALPHABET)
    poor = tmp_path / "poor"
    vocabulary = PreTrainedTokenizerFast(
        tokenizer_file=str(poor / "tokenizer.json"), eos_token="<unk>", pad_token="<unk>"
    )
    make_base(poor, "t5", vocabulary)
    rows = [{"question": f"{n}?", "answer": gold, "split": "train"} for n, (gold, _) in enumerate(GOLDS)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "config.toml").write_text(
        '[teachers.a]\nbuiltin = true\nmodel = "m"\n[tasks.t]\nsource = "t.jsonl"\nanswer = "math"\ndev = 0\n'
        '[[plans]]\nname = "p"\n[[students]]\nname = "s"\nmethod = "fine-tune"\nbase = "./poor"\ntrain_at = [0]\n'
    )
    done = coterie(tmp_path, "check", seconds=240)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "cannot write" in line]
    assert "student s cannot write" in line and "5 different gold answers of task t" in line
    assert "'x^2' becomes 'x2'" in line and "choose another base" in line
    config = tmp_path / "config.toml"
    config.write_text(config.read_text() + 'form = { type = "chat" }\n')
    done = coterie(tmp_path, "check", seconds=240)
    assert done.returncode == 1 and "students.s.form: the form chat is for decoders" in done.stderr
    make_base(poor, "llama", make_tokenizer("llama-3"))
    done = coterie(tmp_path, "check", seconds=240)
    assert done.returncode == 0, done.stderr
    assert "  student s: the chat template writes today's date" in done.stdout
