"""The vocabulary of a student in the words of llama.cpp: a byte-level BPE, and the name of its rule for splitting text.

llama.cpp has no BPE over characters, which built-in students have. It spells each byte of a text by a character of GPT-2's
alphabet and merges those. A character of several bytes becomes one token by merges of its own, in front of all others, and an unknown
one becomes `<unk>` as it does in transformers: its first byte is a further token with the embedding of `<unk>`, and its other
bytes are in no token, so llama.cpp leaves them out.

GPT-2's rule splits text where the built-in rule does or at places that no merge crosses, with one exception: `'s`, `'t`, `'re`,
`'ve`, `'m`, `'ll` and `'d` end a piece also where letters follow (`x'start`), so such a word may be cut into other tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from engine.errors import JobFailed
from engine.students.sizes import PIECES

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""Kinds of tokens in a GGUF file. Text may contain unused ones, but none is printed."""

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_RULES: dict[tuple[str, ...], str] = {
    ("ByteLevel",): "gpt-2",
    (_GPT2, "ByteLevel bytes"): "gpt-2",
    ("Digits", "ByteLevel"): "smollm",
    (_LLAMA3, "ByteLevel bytes"): "llama-bpe",
}
"""Rules for splitting text that byte-level tokenizers of Llamas have, and their names in llama.cpp."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A vocabulary as a GGUF file has it. Tokens from `size` on have the embedding of `unknown`."""

    pre: str
    tokens: list[str]
    types: list[int]
    merges: list[str]
    size: int
    unknown: int = 0
    begins: bool = False
    """Whether a text begins with the token for that."""

    def extended(self, array: Any) -> Any:
        """An embedding with a row for each token.

        Raises:
            JobFailed: there are fewer rows than tokens of the tokenizer.
        """
        import numpy as np

        if len(array) < self.size:
            raise JobFailed(f"the tokenizer has {self.size} tokens and the embedding only {len(array)} rows")
        more = len(self.tokens) - self.size
        return np.concatenate([array[: self.size], np.repeat(array[[self.unknown]], more, axis=0)])


def vocabulary_of(student: Path) -> Vocabulary:
    """The vocabulary of a student.

    Raises:
        JobFailed: llama.cpp has no name for what its tokenizer does.
    """
    data = json.loads((student / "tokenizer.json").read_text(encoding="utf-8"))
    model = data["model"]
    if model["type"] != "BPE" or data.get("normalizer"):
        raise _refused(f"a {model['type']} tokenizer with the normalizer {_type(data.get('normalizer'))}")
    special = {each["content"]: bool(each["special"]) for each in data["added_tokens"]}
    ids = {**model["vocab"], **{each["content"]: each["id"] for each in data["added_tokens"]}}
    size = max(ids.values()) + 1
    split = data.get("pre_tokenizer") or {}
    characters = split.get("type") == "Split" and split["pattern"] == {"Regex": PIECES}
    rule = "gpt-2" if characters else _RULES.get(tuple(_steps(split)))
    if rule is None:
        raise _refused(f"the rule for splitting text {json.dumps(split, ensure_ascii=False)}")
    spell = _spelled if characters else str
    tokens, types = [f"[PAD{key}]" for key in range(size)], [UNUSED] * size
    for text, key in ids.items():
        if text in special:
            tokens[key], types[key] = text, CONTROL if special[text] else USER_DEFINED
        else:
            tokens[key], types[key] = spell(text), NORMAL
    pairs = [each.split(" ", 1) if isinstance(each, str) else each for each in model["merges"]]
    merges = [f"{spell(left)} {spell(right)}" for left, right in pairs]
    begins = "SpecialToken" in _first(data.get("post_processor"))
    if not characters:
        return Vocabulary(rule, tokens, types, merges, size, begins=begins)
    own, further = _bytes_of(text for text in ids if text not in special)
    more = [each for each in further if each not in set(tokens)]
    return Vocabulary(
        rule,
        tokens + more,
        types + [UNUSED] * len(more),
        own + merges,
        size,
        unknown=ids[model["unk_token"]],
    )


def _refused(what: str) -> JobFailed:
    return JobFailed(
        f"a GGUF file is written for built-in students and for byte-level tokenizers of GPT-2, SmolLM and Llama 3, and this"
        f" student has {what}: llama.cpp's own convert_hf_to_gguf.py reads the directory of the student and may know more"
    )


def _bytes_of(texts: Iterable[str]) -> tuple[list[str], list[str]]:
    """Merges that make one token of each known character, and the texts that stand for an unknown one."""
    known = sorted({char for text in texts for char in text if ord(char) > 127})
    merges: dict[str, None] = {}
    first = [*range(128), *range(0xC2, 0xF5)]  # all bytes that a character can begin with
    further = dict.fromkeys(_alphabet()[each] for each in first)
    for char in known:
        word = _spelled(char)
        for at in range(1, len(word)):
            merges[f"{word[:at]} {word[at]}"] = None
            further[word[:at]] = None
    return [*merges], [*further]


@cache
def _alphabet() -> dict[int, str]:
    """GPT-2's character for each byte."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [each for each in range(256) if each not in plain]
    return {each: chr(each) for each in plain} | {each: chr(256 + at) for at, each in enumerate(others)}


def _spelled(text: str) -> str:
    """The bytes of a text in GPT-2's alphabet."""
    return "".join(_alphabet()[each] for each in text.encode())


def _type(part: dict[str, Any] | None) -> str:
    return str(part["type"]) if part else "none"


def _steps(split: dict[str, Any]) -> Iterable[str]:
    """A rule for splitting text as the names of its steps, or their regular expressions."""
    for each in split.get("pretokenizers", [split]) if split else ():
        kind = each.get("type", "")
        if kind == "Split":
            yield each["pattern"].get("Regex", "") if each.get("behavior") == "Isolated" else "?"
        elif kind == "ByteLevel":
            plain = not each.get("add_prefix_space")
            yield ("ByteLevel" if each.get("use_regex", True) else "ByteLevel bytes") if plain else "?"
        elif kind == "Digits":
            yield "Digits" if each.get("individual_digits") else "?"
        else:
            yield "?"


def _first(processor: dict[str, Any] | None) -> dict[str, Any]:
    """What a text begins with."""
    for each in [processor or {}, *(processor or {}).get("processors", ())]:
        if each.get("type") == "TemplateProcessing" and each["single"]:
            return dict(each["single"][0])
    return {}
