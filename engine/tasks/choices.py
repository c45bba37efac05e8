"""Reads the choices of a question and the letter of the right one.

Choices are a list of texts, a table with label and text, a list of such, an object from letter to text, or one column each.
They become the options (A), (B) … in the order of the data.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

from engine.tasks.answers import Refuse
from engine.tasks.row_files import Number

LETTERS = string.ascii_uppercase
HEAD = " Answer choices: "

_LABEL = re.compile(r"^\s*\(?([A-Z])[).:]\s*")


def listed(texts: Sequence[str]) -> str:
    """The choices as they are appended to a question, as in the paper's data."""
    return HEAD + ", ".join(f"({LETTERS[i]}) {text}" for i, text in enumerate(texts)) + "."


def column_labels(columns: Sequence[str]) -> list[str]:
    """The labels of choices with a column each: the last letter or digit (`B`, `option_b`, `option2`) if only it differs."""
    if len({name[:-1] for name in columns}) == 1:
        return [name[-1] for name in columns]
    return list(LETTERS[: len(columns)])


def choices_of(value: Any, name: str, refuse: Refuse) -> tuple[list[str], list[str]]:
    """Labels and texts; a list of texts gets the labels A, B, and so on."""
    labels: Any = None
    texts: Any = value
    if isinstance(value, Mapping) and "text" in value:
        labels, texts = value.get("label"), value["text"]
    elif isinstance(value, Mapping):
        given = {str(label): text for label, text in value.items() if text is not None}
        labels = sorted(given) if all(len(label) == 1 for label in given) else list(given)
        texts = [given[label] for label in labels]
    elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        labels, texts = [each.get("label") for each in value], [each.get("text") for each in value]
    if not isinstance(texts, list) or not 2 <= len(texts) <= len(LETTERS):
        refuse(
            f"{name}: expected a list of 2 to {len(LETTERS)} choices, a table with label and text, or an object from letter"
            " to text; choices with a column each are named as `{A} {B} {C}`"
        )
    stripped = [str(text).strip() for text in texts]
    own = [_LABEL.match(text) for text in stripped]
    if all(match is not None and match[1] == LETTERS[i] for i, match in enumerate(own)):  # "A)5", "B)6"
        stripped = [_LABEL.sub("", text, count=1) for text in stripped]
    if not isinstance(labels, list) or len(labels) != len(stripped) or None in labels:
        labels = list(LETTERS[: len(stripped)])
    return [str(label).strip() for label in labels], stripped


def letter(answer: Any, labels: Sequence[str], texts: Sequence[str], name: str, refuse: Refuse) -> str | None:
    """The letter of the choice that an answer names: by label, by text, or by position from 0; None if by none of them.

    A number that is none of them is refused: where the data count from 1, the other answers would be read wrongly.
    """
    given = str(answer).strip()
    lettered = labels[0] in ("A", "a")
    position = int(given) if given.isdigit() and lettered else len(texts)
    if isinstance(answer, Number) and position < len(texts):
        return LETTERS[position]
    for known in (labels, texts):
        if known.count(given) == 1:
            return LETTERS[known.index(given)]
    if position < len(texts):
        return LETTERS[position]
    bare = given.strip("().: ").casefold()
    for known in (labels, texts):
        folded = [each.casefold() for each in known]
        if folded.count(bare) == 1:
            return LETTERS[folded.index(bare)]
    if given.lstrip("-").isdigit():
        refuse(
            f"{name}: expected one of the choices (labels: {', '.join(labels)}; positions: 0 to {len(texts) - 1}; got"
            f" {given:.20}); to leave out a split without answers, name the other splits in `splits`"
        )
    return None
