"""Encodes texts in which special tokens that a question or rationale spells stay text.

A question may contain `<|im_end|>` or `</s>`. A tokenizer reads these as its own tokens, wherever they come from. Here
`hide` marks what others wrote, and `encode` reads a marked text with a copy of the tokenizer in which every control token
is spelled by one private character. Nothing else differs (normaliser, spaces, merges), and a text without a spelled
control token goes through the tokenizer itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

_HIDDEN, _RENAMED = 0xF0000, 0x100000
_MARK = re.compile(r"<\S+>|\[\S+\]")
"""An added token that is not special but looks like a mark: `<think>`, `<tool_call>`, `[INST]`."""


class LiteralEncoder:
    """Encodes with a tokenizer of transformers. Control tokens are its special ones, and added ones that look like marks."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        added = getattr(tokenizer, "added_tokens_decoder", {}).values()
        self.controls = tuple(
            sorted({str(each) for each in added if each.special or _MARK.fullmatch(str(each))})
        )
        longest = sorted(self.controls, key=len, reverse=True)
        self._spelled = re.compile("|".join(map(re.escape, longest)) or r"(?!)")
        self._number = {each: number for number, each in enumerate(self.controls)}
        self._last = chr(_HIDDEN + len(self.controls))
        self._copy: Any = None

    def hide(self, text: str) -> str:
        """A text of others, with each spelled control token replaced by a private character.

        Unchanged where the tokenizer is not one of the library `tokenizers`, which cannot be copied.
        """
        if getattr(self._tokenizer, "backend_tokenizer", None) is None:
            return text
        return self._spelled.sub(lambda found: chr(_HIDDEN + self._number[found[0]]), text)

    def control_after(self, text: str) -> int | None:
        """Where the first control token of a text ends; None if there is none."""
        found = self._spelled.search(text)
        return found.end() if found else None

    def encode(self, texts: Sequence[str], *, add_special_tokens: bool) -> list[list[int]]:
        """The tokens of texts, of which parts went through `hide`."""
        if not texts:
            return []
        marked = [
            at for at, text in enumerate(texts) if any(chr(_HIDDEN) <= char < self._last for char in text)
        ]
        found: list[list[int]] = [
            list(ids)
            for ids in self._tokenizer(list(texts), add_special_tokens=add_special_tokens)["input_ids"]
        ]
        for at in marked:
            found[at] = self._literal(texts[at], add_special_tokens)
        return found

    def _literal(self, text: str, add_special_tokens: bool) -> list[int]:
        if self._copy is None:
            self._copy = self._renamed()
        copy, ids = self._copy
        own = self._spelled.sub(lambda found: chr(_RENAMED + self._number[found[0]]), text)
        whole = "".join(
            self.controls[ord(char) - _HIDDEN] if chr(_HIDDEN) <= char < self._last else char for char in own
        )
        return [ids.get(each, each) for each in copy.encode(whole, add_special_tokens=add_special_tokens).ids]

    def _renamed(self) -> tuple[Any, dict[int, int]]:
        """The copy, and its ids of control tokens with those of the tokenizer, where they differ."""
        from tokenizers import Tokenizer

        names = {each: chr(_RENAMED + number) for each, number in self._number.items()}
        data = json.loads(self._tokenizer.backend_tokenizer.to_str())
        data["truncation"] = data["padding"] = None
        for token in data["added_tokens"]:
            token["content"] = names.get(token["content"], token["content"])
        model = data["model"]
        if isinstance(model["vocab"], dict):
            model["vocab"] = {names.get(piece, piece): key for piece, key in model["vocab"].items()}
        else:  # Unigram: pairs of piece and score
            model["vocab"] = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
        if isinstance(model.get("unk_token"), str):
            model["unk_token"] = names.get(model["unk_token"], model["unk_token"])
        copy = Tokenizer.from_str(json.dumps(data))
        own = self._tokenizer.backend_tokenizer
        ids = {copy.token_to_id(name): own.token_to_id(each) for each, name in names.items()}
        return copy, {key: value for key, value in ids.items() if key != value and key is not None}
