"""A row of any data set as a row of ours: its columns by `[tasks.NAME.fields]`, choices written behind the question.

Choices are written as the paper's data have them: `… Answer choices: (A) bank, (B) library.`, and their answer
becomes a letter. What is not there, or does not fit, is said with the columns that are. Knows no file: faults go to
`refuse`, which names the place.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from engine.config.tasks import BOXED, AnswerFormat, FieldsConfig
from engine.grading.formats import FORMATS
from engine.tasks.files import Number, Row, kind_of, plain

LETTERS = string.ascii_uppercase
HEAD = " Answer choices: "

Refuse = Callable[[str], NoReturn]

_PLACE = re.compile(r"\{([^{}]+)\}")
_OWN_LETTER = re.compile(r"^\s*\(?([A-Z])[).:]\s*")


def columns_of(fields: FieldsConfig) -> list[str]:
    """The columns that a mapping reads, without what a dot leads into; `id` and `split` where they are there."""
    named = [
        *_parts(fields.question),
        fields.answer,
        fields.rationale,
        fields.choices,
        fields.id or "id",
        "split",
    ]
    return list(dict.fromkeys(name.split(".")[0] for name in named if name))


def needed_columns(fields: FieldsConfig, *, named: bool = True) -> list[str]:
    """The columns without which no row can be read; `named`: that of the question's name is one of them."""
    wanted = [*_parts(fields.question), fields.answer, fields.choices, fields.id if named else None]
    return list(dict.fromkeys(name.split(".")[0] for name in wanted if name))


def mapped(row: Mapping[str, Any], fields: FieldsConfig, answer_format: AnswerFormat, refuse: Refuse) -> Row:
    """The row with the columns question, answer and, where they are there, rationale, id and split.

    Args:
        row: as it was read.
        fields: which column holds what.
        answer_format: the task's; decides what true and false become.
        refuse: raises, with the place, what it is told.
    """
    question = _question(row, fields.question, refuse)
    answer = _cell(row, fields.answer, refuse)
    if answer == "":
        refuse(
            f"{fields.answer}: empty; a split without answers is left out by naming the others in `splits`"
        )
    if fields.answer_pattern:
        answer = _matched(fields.answer_pattern, answer, fields.answer, refuse)
    if fields.choices:
        labels, texts = _choices(_cell(row, fields.choices, refuse), fields.choices, refuse)
        question += HEAD + ", ".join(f"({LETTERS[i]}) {text}" for i, text in enumerate(texts)) + "."
        answer = _letter(answer, labels, texts, fields.answer, refuse)
    elif isinstance(answer, bool):
        values = FORMATS[answer_format].truth_values
        if values is None:
            fitting = " or ".join(name for name, each in FORMATS.items() if each.truth_values)
            refuse(
                f"{fields.answer}: true or false answers a task of the format {fitting} (got {answer_format!r})"
            )
        answer = values[0] if answer else values[1]
    elif isinstance(answer, list) and len(answer) == 1:  # the solutions of an equation
        answer = plain(answer[0])
    made: Row = {"question": question, "answer": answer}
    if fields.rationale and _there(row, fields.rationale):
        rationale = _cell(row, fields.rationale, refuse)
        if fields.rationale_pattern:
            rationale = _matched(fields.rationale_pattern, rationale, fields.rationale, refuse)
        made["rationale"] = " ".join(map(str, rationale)) if isinstance(rationale, list) else rationale
    name = fields.id or "id"
    if _there(row, name):
        made["id"] = _cell(row, name, refuse)
    if row.get("split"):
        made["split"] = row["split"]
    return made


def boxed(text: str) -> str | None:
    r"""What stands in the last `\boxed{…}` (or `\fbox`, or `\boxed x`), with braces in it; None where there is none."""
    start = max(text.rfind("\\boxed"), text.rfind("\\fbox"))
    if start < 0:
        return None
    rest = text[start:].removeprefix("\\boxed").removeprefix("\\fbox").lstrip()
    if not rest.startswith("{"):
        return rest.split("$")[0].split()[0] if rest.split("$")[0].split() else None
    depth = 0
    for index, char in enumerate(rest):
        depth += (char == "{") - (char == "}")
        if depth == 0:
            return rest[1:index].strip()
    return None


def _parts(question: str) -> list[str]:
    return _PLACE.findall(question) or [question]


def _question(row: Mapping[str, Any], form: str, refuse: Refuse) -> str:
    if not _PLACE.search(form):
        text = _cell(row, form, refuse)
        if not isinstance(text, str) or isinstance(text, Number):
            refuse(f"{form}: expected a string, got {kind_of(text)}")
        return text.strip()
    return _PLACE.sub(lambda match: str(_cell(row, match[1], refuse)).strip(), form).strip()


def _there(row: Mapping[str, Any], name: str) -> bool:
    value: Any = row
    for part in name.split("."):
        if not isinstance(value, Mapping) or value.get(part) is None:
            return False
        value = value[part]
    return bool(value != "")


def _cell(row: Mapping[str, Any], name: str, refuse: Refuse) -> Any:
    value: Any = row
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            have = ", ".join(str(key)[:40] for key in list(row)[:12]) or "nothing"
            refuse(f"{name}: missing (the row has: {have})")
        value = value[part]
    if value is None or (isinstance(value, float) and math.isnan(value)):
        refuse(f"{name}: empty")
    return value if isinstance(value, Number) else plain(value)


def _matched(pattern: str, value: Any, name: str, refuse: Refuse) -> str:
    text = str(value)
    if pattern == BOXED:
        found = boxed(text)
    else:
        found = None
        for match in re.finditer(pattern, text):
            found = match[1]
    if found is None or not found.strip():
        refuse(f"{name}: the pattern {pattern!r} finds nothing in {text[-80:]!r}")
    return found.strip()


def _choices(value: Any, name: str, refuse: Refuse) -> tuple[list[str], list[str]]:
    """Labels and texts; a list of texts is labelled A, B, …."""
    labels: Any = None
    texts: Any = value
    if isinstance(value, Mapping):
        labels, texts = value.get("label"), value.get("text")
    elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        labels, texts = [each.get("label") for each in value], [each.get("text") for each in value]
    if not isinstance(texts, list) or not 2 <= len(texts) <= len(LETTERS):
        refuse(f"{name}: expected a list of 2 to {len(LETTERS)} choices, or a table of label and text")
    told = [str(text).strip() for text in texts]
    own = [_OWN_LETTER.match(text) for text in told]
    if all(match is not None and match[1] == LETTERS[i] for i, match in enumerate(own)):  # "A)5", "B)6"
        told = [_OWN_LETTER.sub("", text, count=1) for text in told]
    if not isinstance(labels, list) or len(labels) != len(told) or None in labels:
        labels = list(LETTERS[: len(told)])
    return [str(label).strip() for label in labels], told


def _letter(answer: Any, labels: list[str], texts: list[str], name: str, refuse: Refuse) -> str:
    if isinstance(answer, int) or (isinstance(answer, Number) and labels[0] == "A"):
        position = int(answer) if str(answer).lstrip("-").isdigit() else -1
        if 0 <= position < len(texts):
            return LETTERS[position]
    said = str(answer).strip()
    for known in (labels, texts):
        if known.count(said) == 1:
            return LETTERS[known.index(said)]
    if said.isdigit() and int(said) < len(texts) and labels[0] == "A":
        return LETTERS[int(said)]
    refuse(f"{name}: {said!r:.60} is none of the choices (labels: {', '.join(labels)})")
