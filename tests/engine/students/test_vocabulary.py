from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.forms import FIRST, FORMS, TokenForm, form_of
from engine.methods import METHODS
from engine.students.vocabulary import MOST, facts_of, unwritten_golds
from tests.daemon.site import coterie
from tests.engine.forms.families import make_tokenizer
from tests.engine.students.runs import make_base
from tests.lazily import Lazy

tokenizers, transformers = Lazy("tokenizers"), Lazy("transformers")

ALPHABET = [*"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,-/>#?()=: "]
GOLDS = [("5", "q?"), ("\\frac{1}{2}", "q?"), ("x^2", "q?"), ("1 < x", "q?"), ("Evelyn", "q?")]


def tokenizer_of(alphabet: list[str]) -> Any:
    """A vocabulary of single characters, as poor as T5's or not."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split(" ", behavior="isolated")
    tokenizer.decoder = tokenizers.decoders.Fuse()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>"], show_progress=False)
    tokenizer.train_from_iterator(alphabet, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<unk>", pad_token="<unk>"
    )


def form(tokenizer: Any, method: str, translates: bool = False, **settings: Any) -> TokenForm:
    chosen = FORMS[settings["type"]].settings(**settings) if settings else FIRST
    return form_of(chosen).open(
        chosen, METHODS[method], tokenizer, encoder_decoder=translates, note=lambda _note: None
    )


@pytest.mark.parametrize(
    ("method", "translates"),
    [
        (name, translates)
        for name, each in METHODS.items()
        for translates in (True, False)
        if each.trains and not (each.roles and translates)  # turns are for decoders
    ],
)
def test_answers_that_the_vocabulary_lacks_are_named(method: str, translates: bool) -> None:
    poor = form(tokenizer_of(ALPHABET), method, translates)
    tried, lost = unwritten_golds(poor, METHODS[method], GOLDS, "text")
    assert (tried, [(each.gold, each.read) for each in lost]) == (
        5,
        [("\\frac{1}{2}", "frac12"), ("x^2", "x2"), ("1 < x", "1  x")],
    )
    rich = form(tokenizer_of([*ALPHABET, *"\\{}^<"]), method, translates)
    assert unwritten_golds(rich, METHODS[method], GOLDS, "text") == (5, [])


@pytest.mark.parametrize(
    "settings",
    [
        {"type": "chat"},
        {"type": "paper"},
        {"type": "plain", "end": "."},
        {"type": "chat", "reasoning": "text"},
    ],
)
def test_an_answer_may_spell_a_special_token_or_a_mark_in_any_form(settings: dict[str, str]) -> None:
    method = METHODS["fine-tune-cot"]
    golds = [("5", "q?"), ("<|im_end|>", "q?"), ("the END of it", "q?"), ("a --> b", "q?")]
    of = form(make_tokenizer("qwen3"), method.name, **settings)
    assert unwritten_golds(of, method, golds, "text") == (4, [])


def test_the_number_of_gold_answers_is_bounded() -> None:
    many = ((str(n), "q?") for n in range(MOST + 500))
    poor = form(tokenizer_of(ALPHABET), "fine-tune")
    assert unwritten_golds(poor, METHODS["fine-tune"], many, "number") == (MOST, [])


def test_what_is_not_here_is_not_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert facts_of(str(tmp_path)) is None
    assert facts_of("nobody/nothing") is None
    (tmp_path / "config.json").write_text("[")
    assert facts_of(str(tmp_path)) is None


def test_check_says_it(tmp_path: Path) -> None:
    poor = tmp_path / "poor"
    make_base(poor, "t5", tokenizer_of(ALPHABET))
    rows = [{"question": f"{n}?", "answer": gold, "split": "train"} for n, (gold, _) in enumerate(GOLDS)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "config.toml").write_text(
        '[teachers.a]\nbuiltin = true\nmodel = "practice-large"\n[tasks.t]\nsource = "t.jsonl"\nanswer = "math"\ndev = 0\n'
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
    assert "note: the chat template writes today's date" in done.stdout
