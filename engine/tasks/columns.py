"""Maps the columns of a data set, as `[tasks.NAME.fields]` names them, to the columns question, answer and so on.

Choices are appended to the question as in the paper's data, `… Answer choices: (A) bank, (B) library.`, and their answer
becomes a letter. Errors go to `refuse`, which adds file and line.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from engine.config.faults import quoted
from engine.config.tasks import BOXED, AnswerFormat, FieldsConfig
from engine.grading.formats import FORMATS
from engine.tasks.row_files import Number, Row, kind_of, plain

LETTERS = string.ascii_uppercase
HEAD = " Answer choices: "

Refuse = Callable[[str], NoReturn]

_COLUMN = re.compile(r"\{([^{}]+)\}")
_LABEL = re.compile(r"^\s*\(?([A-Z])[).:]\s*")


def columns_of(fields: FieldsConfig) -> list[str]:
    """The top-level columns that a mapping reads; `id` and `split` are optional."""
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
    """The columns that every row must have; `named`: the column of the question's id is one of them."""
    wanted = [*_parts(fields.question), fields.answer, fields.choices, fields.id if named else None]
    return list(dict.fromkeys(name.split(".")[0] for name in wanted if name))


def mapped(row: Mapping[str, Any], fields: FieldsConfig, answer_format: AnswerFormat, refuse: Refuse) -> Row:
    """The row with the columns question and answer and, if the data has them, rationale, id and split.

    Args:
        row: as it was read.
        fields: which column holds what.
        answer_format: the task's; decides what true and false become.
        refuse: raises the message that it is given, with the place.
    """
    question = _question(row, fields.question, refuse)
    answer = _cell(row, fields.answer, refuse)
    if answer == "":
        refuse(
            f"{fields.answer}: empty; to leave out a split without answers, name the other splits in `splits`"
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
            fitting = " or ".join(
                f"`answer = {quoted(name)}`" for name, each in FORMATS.items() if each.truth_values
            )
            refuse(
                f"{fields.answer}: true or false, but the task has `answer = {quoted(answer_format)}`; expected {fitting}"
            )
        answer = values[0] if answer else values[1]
    elif isinstance(answer, list) and len(answer) == 1:  # the solutions of an equation
        answer = plain(answer[0])
    made: Row = {"question": question, "answer": answer}
    if fields.rationale and _present(row, fields.rationale):
        rationale = _cell(row, fields.rationale, refuse)
        if fields.rationale_pattern:
            rationale = _matched(fields.rationale_pattern, rationale, fields.rationale, refuse)
        made["rationale"] = " ".join(map(str, rationale)) if isinstance(rationale, list) else rationale
    name = fields.id or "id"
    if _present(row, name):
        made["id"] = _cell(row, name, refuse)
    if row.get("split"):
        made["split"] = row["split"]
    return made


def boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{…}` (or `\fbox`, or `\boxed x`), nested braces included; None if there is none."""
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
    return _COLUMN.findall(question) or [question]


def _question(row: Mapping[str, Any], form: str, refuse: Refuse) -> str:
    if not _COLUMN.search(form):
        text = _cell(row, form, refuse)
        if not isinstance(text, str) or isinstance(text, Number):
            refuse(f"{form}: expected a string, got {kind_of(text)}")
        return text.strip()
    return _COLUMN.sub(lambda match: str(_cell(row, match[1], refuse)).strip(), form).strip()


def _present(row: Mapping[str, Any], name: str) -> bool:
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
            refuse(f"{name}: missing (columns of the row: {have})")
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
        refuse(f"{name}: the pattern {pattern!r} does not match {text[-80:]!r}")
    return found.strip()


def _choices(value: Any, name: str, refuse: Refuse) -> tuple[list[str], list[str]]:
    """Labels and texts; a list of texts gets the labels A, B, and so on."""
    labels: Any = None
    texts: Any = value
    if isinstance(value, Mapping):
        labels, texts = value.get("label"), value.get("text")
    elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        labels, texts = [each.get("label") for each in value], [each.get("text") for each in value]
    if not isinstance(texts, list) or not 2 <= len(texts) <= len(LETTERS):
        refuse(f"{name}: expected a list of 2 to {len(LETTERS)} choices, or a table with label and text")
    stripped = [str(text).strip() for text in texts]
    own = [_LABEL.match(text) for text in stripped]
    if all(match is not None and match[1] == LETTERS[i] for i, match in enumerate(own)):  # "A)5", "B)6"
        stripped = [_LABEL.sub("", text, count=1) for text in stripped]
    if not isinstance(labels, list) or len(labels) != len(stripped) or None in labels:
        labels = list(LETTERS[: len(stripped)])
    return [str(label).strip() for label in labels], stripped


def _letter(answer: Any, labels: list[str], texts: list[str], name: str, refuse: Refuse) -> str:
    if isinstance(answer, int) or (isinstance(answer, Number) and labels[0] == "A"):
        position = int(answer) if str(answer).lstrip("-").isdigit() else -1
        if 0 <= position < len(texts):
            return LETTERS[position]
    given = str(answer).strip()
    for known in (labels, texts):
        if known.count(given) == 1:
            return LETTERS[known.index(given)]
    if given.isdigit() and int(given) < len(texts) and labels[0] == "A":
        return LETTERS[int(given)]
    refuse(f"{name}: expected one of the choices (labels: {', '.join(labels)}; got {given!r:.60})")
