"""The GGUF file of a student: tensors as transformers reads them, and tokens as llama.cpp's rules make them."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import JobFailed
from tests.engine.students.runs import make_base, rows
from tests.lazily import Lazy

torch, transformers = Lazy("torch"), Lazy("transformers")
base_model = Lazy("engine.students.base_model")
gguf_file, gguf_tokenizer = Lazy("engine.students.gguf_file"), Lazy("engine.students.gguf_tokenizer")

TEXTS = [
    "Ann flips the coin. It's tails? ###",
    "  two  spaces\n\n\tand lines  ",
    "12 + 34 = 46, (a-b) \"quoted.\" 'start' don't",
    "é ü ñ 漢字 ÃĠ ☃ 🎲 ½ \x01 \u00a0nbsp",
    "Heads <end> or <unk>?",
    "",
]


def characters(folder: Path, text: str = "") -> Path:
    """The tokenizer of a built-in student, which knows the characters of a few texts."""
    from engine.students.tokenizer import make_tokenizer

    texts = [*TEXTS[:3], "é 漢漢 漢 🎲 ☃", text, *(row.question for row in rows()[0])]
    make_tokenizer(texts * 3, 150).save_pretrained(folder)
    return folder


def as_llama_cpp(vocabulary) -> Callable[[str], list[int]]:
    """Its byte-level BPE, from what a file holds: GPT-2's alphabet and rule; a symbol without a token is left out."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    merges = [tuple(each.split(" ")) for each in vocabulary.merges]
    parts = {part for merge in merges for part in merge} - {*vocabulary.tokens}
    ids = {token: key for key, token in enumerate([*vocabulary.tokens, *sorted(parts)])}
    found = Tokenizer(models.BPE(vocab=ids, merges=merges))
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    specials = [
        token
        for token, kind in zip(vocabulary.tokens, vocabulary.types, strict=True)
        if kind == gguf_tokenizer.CONTROL
    ]
    found.add_special_tokens([AddedToken(each, special=True) for each in specials])
    return lambda text: [key for key in found.encode(text).ids if key < len(vocabulary.tokens)]


def test_texts_have_the_same_tokens_in_the_rules_of_llama_cpp(tmp_path: Path) -> None:
    own = transformers.AutoTokenizer.from_pretrained(characters(tmp_path))
    vocabulary = gguf_tokenizer.vocabulary_of(tmp_path)
    assert vocabulary.size == len(own) and vocabulary.types[vocabulary.size :] == [gguf_tokenizer.UNUSED] * (
        len(vocabulary.tokens) - vocabulary.size
    )
    other = as_llama_cpp(vocabulary)
    rng = random.Random(3)
    alphabet = [*"".join(TEXTS), *"aeiou nrst.,'-(", *"éè漢🎲🎳Ωß", " ", "\n"]
    drawn = ["".join(rng.choices(alphabet, k=60)) for _ in range(300)]
    for text in TEXTS + [each for each in drawn if not _contracted(each)]:
        seen = [key if key < vocabulary.size else vocabulary.unknown for key in other(text)]
        assert seen == own(text)["input_ids"], text


def _contracted(text: str) -> bool:
    """Whether GPT-2's rule splits a word behind an apostrophe, which the built-in one does not."""
    return bool(re.search(r"'(?:s|t|re|ve|m|ll|d)[^\W\d_]", text))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_tensors_are_those_that_transformers_reads(tmp_path: Path, dtype: str) -> None:
    student = make_base(tmp_path / "student", "llama")
    model = base_model.load_model(str(student)).to(getattr(torch, dtype))
    model.save_pretrained(student)
    file = tmp_path / "student.gguf"
    gguf_file.write_gguf(student, file, "Tiny")
    again = base_model.load_model(str(file))
    ids = torch.tensor([[3, 9, 20, 12, 33]])
    size = len(model.get_input_embeddings().weight)
    with torch.no_grad():
        expected, found = model.float()(ids).logits, again(ids).logits
    torch.testing.assert_close(found[..., :size], expected, rtol=1e-4, atol=1e-4)
    assert again.config.eos_token_id == model.config.eos_token_id
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_what_llama_cpp_would_read_wrongly_is_refused(tmp_path: Path) -> None:
    student = make_base(tmp_path / "student", "llama")
    config = json.loads((student / "config.json").read_text())
    file = tmp_path / "x.gguf"

    def refused(change: dict, words: str) -> None:
        (student / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(JobFailed, match=words):
            gguf_file.write_gguf(student, file, "x")
        assert not file.exists()

    refused(
        {"architectures": ["T5ForConditionalGeneration"]},
        "written for LlamaForCausalLM, and this student is T5",
    )
    refused({"rope_scaling": {"rope_type": "llama3"}}, "rotary positions of the type llama3")
    data = json.loads((student / "tokenizer.json").read_text())
    data["pre_tokenizer"] = {"type": "Whitespace"}
    (student / "tokenizer.json").write_text(json.dumps(data))
    refused({}, r'rule for splitting text \{"type": "Whitespace"\}')


def test_byte_level_tokenizers_keep_their_tokens_and_rule(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from tokenizers.trainers import BpeTrainer

    rules = {
        "gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False),
        "smollm": pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        ),
    }
    for name, rule in rules.items():
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = rule
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        tokenizer.train_from_iterator(
            TEXTS, BpeTrainer(vocab_size=300, special_tokens=["<|im_end|>"], initial_alphabet=alphabet)
        )
        folder = tmp_path / name
        folder.mkdir()
        tokenizer.save(str(folder / "tokenizer.json"))
        vocabulary = gguf_tokenizer.vocabulary_of(folder)
        assert (
            vocabulary.pre == name and len(vocabulary.tokens) == vocabulary.size == tokenizer.get_vocab_size()
        )
        assert all(tokenizer.token_to_id(token) == key for key, token in enumerate(vocabulary.tokens))
        assert vocabulary.types[0] == gguf_tokenizer.CONTROL and not vocabulary.begins
