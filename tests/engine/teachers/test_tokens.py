"""What a prompt is taken to be at most, against tokenizers that were built from prose."""

from __future__ import annotations

import base64
import random
from functools import cache
from typing import Any

import pytest

from engine.teachers.messages import Completion, Message, Request, Usage
from engine.teachers.tokens import bound_prompt, bound_tokens, estimate_prompt, estimate_tokens

PROSE = (
    "A farmer has twelve cows and sells three of them on the market. How many cows does he have left?"
    " Let's think step by step. First, he starts with twelve. Then he sells three, so nine are left."
)
_rng = random.Random(5)
NASTY = {
    "digits": "".join(_rng.choice("0123456789") for _ in range(800)),
    "numbers": ", ".join(f"{_rng.random():.12f}" for _ in range(40)),
    "random letters": "".join(
        _rng.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(600)
    ),
    "base64": base64.b64encode(_rng.randbytes(500)).decode(),
    "code": "\n".join(
        f"{' ' * (4 * (n % 7))}if x[{n}]!={n * 37}:\n\t\treturn(-{n})**2 # {{'k':[]}}" for n in range(40)
    ),
    "json": '{"a":[1,2,{"b":null}],"c":"\\u4e2d"}' * 20,
    "chinese": "小明有十二个苹果，他吃了三个，还剩下几个？" * 20,
    "rare characters": "".join(chr(_rng.randrange(0x20000, 0x2A6D0)) for _ in range(200)),
    "thai and arabic": "แม่มีแอปเปิ้ลสิบสองผล كم تفاحة بقيت لديه؟ ﷺ " * 15,
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈👍🏿" * 40,
    "marks": "Z̷̢͖̀a̴̡͝l̵̰̈g̶̱̚o̸̯͠" * 30,
    "controls": "".join(map(chr, range(32))) * 20,
    "spaces": " \n\t\r\n  " * 80,
}


@cache
def tokenizers() -> dict[str, Any]:
    library = pytest.importorskip("tokenizers")
    models, pieces, trainers = library.models, library.pre_tokenizers, library.trainers
    # As GPT's and Llama 3's: pieces of bytes; and as those that take each digit by itself (Qwen, Gemma).
    found = {}
    for name, first in (("bytes", []), ("bytes, digits apart", [pieces.Digits(individual_digits=True)])):
        made = library.Tokenizer(models.BPE())
        made.pre_tokenizer = pieces.Sequence([*first, pieces.ByteLevel(add_prefix_space=False)])
        trainer = trainers.BpeTrainer(
            vocab_size=700, initial_alphabet=pieces.ByteLevel.alphabet(), show_progress=False
        )
        made.train_from_iterator([PROSE] * 20, trainer)
        found[name] = made
    # As Llama 2's and Mistral's: characters, and bytes for those that are not in the vocabulary.
    vocabulary = {f"<0x{byte:02X}>": byte for byte in range(256)}
    vocabulary |= {letter: 256 + at for at, letter in enumerate(sorted({"▁", *PROSE.replace(" ", "")}))}
    made = library.Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True, fuse_unk=True))
    made.normalizer = library.normalizers.Replace(" ", "▁")
    found["characters"] = made
    return found


@pytest.mark.parametrize("name", NASTY)
def test_no_tokenizer_makes_more_tokens_of_a_text_than_are_reserved(name: str) -> None:
    most = bound_tokens(NASTY[name])
    for tokenizer in tokenizers().values():
        assert 0 < len(tokenizer.encode(NASTY[name]).ids) <= most


def test_digits_are_as_many_tokens_as_are_reserved() -> None:
    """The bound is no larger than it must be: some models take each digit by itself."""
    digits = NASTY["digits"]
    assert len(tokenizers()["bytes, digits apart"].encode(digits).ids) == bound_tokens(digits) == 800
    assert estimate_tokens(digits) == 200


@pytest.mark.parametrize("name", NASTY)
def test_an_answer_that_is_sent_back_is_bounded_by_its_billed_tokens(name: str) -> None:
    text = NASTY[name].strip() or "so"
    for tokenizer in tokenizers().values():
        billed = len(tokenizer.encode(text).ids)
        answer = Completion(text=text, usage=Usage(prompt_tokens=9, completion_tokens=billed))
        again = Request(messages=(Message("user", f"Q: 2 + 2?\nA: {text}\nTherefore, the answer is"),))
        tokens = len(tokenizer.encode(again.messages[0].content).ids)
        assert tokens <= bound_prompt(again, answer) <= bound_prompt(again)


def test_an_answer_of_prose_that_is_sent_back_is_not_counted_by_its_bytes() -> None:
    again = Request(messages=(Message("user", f"Q\n{PROSE}\nTherefore"),))

    def bound(completion_tokens: int, text: str = PROSE, *, estimated: bool = False) -> int:
        usage = Usage(prompt_tokens=9, completion_tokens=completion_tokens, estimated=estimated)
        return bound_prompt(again, Completion(text=text, usage=usage))

    size = bound_tokens(PROSE)
    assert bound(45) == bound_prompt(again) - size + 90
    assert bound(size) == bound_prompt(again), "no more than its bytes"
    assert bound(45, estimated=True) == bound(1) == bound_prompt(again), "tokens that are not known"
    assert bound(45, "Another answer, which is not sent back, of some length.") == bound_prompt(again)


def test_a_prompt_has_room_for_its_template_and_a_system_prompt_of_the_models_own() -> None:
    request = Request(messages=(Message("system", "1" * 50), Message("user", "2" * 100)))
    # Marks of ChatML and of Llama 3, and the longest system prompt that is put before by default.
    assert bound_prompt(request) - 150 >= 2 * 8 + 4 + 70
    assert bound_prompt(request) > estimate_prompt(request)
    assert bound_tokens("") == 0 and bound_tokens("\ud800") == 3
