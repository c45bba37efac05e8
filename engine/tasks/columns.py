"""Maps the columns of a data set, as `[tasks.NAME.fields]` names them, to the columns question, answer and so on.

Choices are appended to the question as in the paper's data, `… Answer choices: (A) bank, (B) library.`, and their answer
becomes a letter. Errors go to `refuse`, which adds file and line. A row in which no answer is found says so in the column
`UNREADABLE`: its question is set apart (`golds.py`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from engine.config.faults import quoted
from engine.config.tasks import BOXED, AnswerFormat, FieldsConfig
from engine.grading.formats import FORMATS
from engine.grading.options import options_of
from engine.tasks.answers import UNREADABLE, Refuse, asked_and_answered, is_chat, published, single
from engine.tasks.choices import choices_of, column_labels, letter, listed
from engine.tasks.row_files import Number, Row, kind_of, plain

_COLUMN = re.compile(r"\{([^{}]+)\}")

CHATS = ("messages", "conversations")
"""Columns of chats that are read where a row has no question and no answer."""

CHOICES = ("choices", "options")
EACH_CHOICE = (
    ("A", "B", "C", "D", "E"),
    ("a", "b", "c", "d", "e"),
    *(tuple(f"{stem}{end}" for end in ends) for stem in ("option_", "option", "choice_", "choice", "op") for ends in ("abcde", "ABCDE", "12345")),
)  # fmt: skip
"""What columns of choices are called. They are not guessed: a question without its choices is refused, with the line to write."""

OTHER_COLUMNS = (*CHATS, *CHOICES, *dict.fromkeys(name for names in EACH_CHOICE for name in names))
"""Columns that are looked at where `fields` is not set, besides those of our own files."""


def columns_of(fields: FieldsConfig) -> list[str]:
    """The top-level columns that a mapping reads; `id` and `split` are optional."""
    named = [
        *_parts(fields.question),
        fields.answer,
        fields.rationale,
        *_parts(fields.choices or ""),
        fields.id or "id",
        "split",
    ]
    return list(dict.fromkeys(name.split(".")[0] for name in named if name))


def needed_columns(fields: FieldsConfig, *, named: bool = True) -> list[str]:
    """The columns that every row must have; `named`: the column of the question's id is one of them."""
    wanted = [
        *_parts(fields.question),
        fields.answer,
        *_parts(fields.choices or ""),
        fields.id if named else None,
    ]
    return list(dict.fromkeys(name.split(".")[0] for name in wanted if name))


def mapped(row: Mapping[str, Any], fields: FieldsConfig, answer_format: AnswerFormat, refuse: Refuse) -> Row:
    """The row with the columns question and answer and, if the data has them, rationale, id, split and `UNREADABLE`.

    Args:
        row: as it was read.
        fields: which column holds what.
        answer_format: the task's; decides what true and false become.
        refuse: raises the message that it is given, with the place.
    """
    question = _question(row, fields.question, refuse)
    answer = _answer(row, fields.answer, refuse)
    rationale: Any = None
    if answer == "":
        refuse(
            f"{fields.answer}: empty; to leave out a split without answers, name the other splits in `splits`"
        )
    unreadable = ""
    if fields.answer_pattern:
        text = str(answer)
        found = _last_match(fields.answer_pattern, text)
        if found is None:
            unreadable = f"the pattern {fields.answer_pattern!r} does not match {text[-80:]!r}"
        answer = text if found is None else found
    else:
        answer, rationale = published(answer)
    if fields.choices:
        labels, texts = _choices(row, fields.choices, refuse)
        question += listed(texts)
        answer = single(answer, fields.answer, answer_format, refuse)
        named = letter(answer, labels, texts, fields.answer, refuse)
        if named is None and not unreadable:
            unreadable = f"not one of the choices (labels: {', '.join(labels)})"
        answer = str(answer) if named is None else named
    else:
        answer = single(answer, fields.answer, answer_format, refuse)
        _refuse_missing_choices(row, question, answer_format, refuse)
    made: Row = {"question": question, "answer": answer}
    if fields.rationale and _present(row, fields.rationale):
        rationale = _cell(row, fields.rationale, refuse)
        if fields.rationale_pattern:
            rationale = _rationale(fields.rationale_pattern, rationale, fields.rationale, unreadable, refuse)
    if rationale is not None:
        made["rationale"] = " ".join(map(str, rationale)) if isinstance(rationale, list) else rationale
    name = fields.id or "id"
    if _present(row, name):
        made["id"] = _cell(row, name, refuse)
    if row.get("split"):
        made["split"] = row["split"]
    if unreadable:
        made[UNREADABLE] = unreadable
    return made


def unmapped(row: Row, answer_format: AnswerFormat, refuse: Refuse) -> Row:
    """A row whose columns have our own names, with its answer as our own files write it; a chat as question and answer."""
    chat = next((name for name in CHATS if is_chat(row.get(name))), None)
    if chat is not None and not {"question", "answer"} & row.keys():
        question, answer = asked_and_answered(row[chat], chat, refuse)
        row = {**row, "question": question, "answer": answer}
    if "answer" not in row:
        return row
    answer, rationale = published(row["answer"])
    answer = single(answer, "answer", answer_format, refuse)
    if isinstance(row.get("question"), str):
        _refuse_missing_choices(row, row["question"], answer_format, refuse)
    made = {**row, "answer": answer}
    made.pop(UNREADABLE, None)
    if rationale is not None and row.get("rationale") in (None, ""):
        made["rationale"] = rationale
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


def _parts(form: str) -> list[str]:
    return _COLUMN.findall(form) or [form]


def _question(row: Mapping[str, Any], form: str, refuse: Refuse) -> str:
    if not _COLUMN.search(form):
        text = _cell(row, form, refuse)
        if is_chat(text):
            text, _ = asked_and_answered(text, form, refuse)
        if not isinstance(text, str) or isinstance(text, Number):
            refuse(f"{form}: expected a string, got {kind_of(text)}")
        return text.strip()
    return _COLUMN.sub(lambda match: _in_text(_cell(row, match[1], refuse)), form).strip()


def _in_text(value: Any) -> str:
    """A cell as part of a question; a list of words (CommonGen's concepts) with commas."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(each.strip() for each in value)
    return str(value).strip()


def _answer(row: Mapping[str, Any], name: str, refuse: Refuse) -> Any:
    value = _cell(row, name, refuse)
    return asked_and_answered(value, name, refuse)[1] if is_chat(value) else value


def _choices(row: Mapping[str, Any], form: str, refuse: Refuse) -> tuple[list[str], list[str]]:
    columns = _COLUMN.findall(form)
    if not columns:
        return choices_of(_cell(row, form, refuse), form, refuse)
    there = [
        (label, _cell(row, name, refuse))
        for label, name in zip(column_labels(columns), columns, strict=True)
        if _present(row, name)  # a question may have fewer of them
    ]
    value = {"label": [label for label, _ in there], "text": [text for _, text in there]}
    return choices_of(value, form, refuse)


def _refuse_missing_choices(
    row: Mapping[str, Any], question: str, answer_format: AnswerFormat, refuse: Refuse
) -> None:
    """Refuses a question of choices that lists none, where other columns of its row hold them."""
    if not FORMATS[answer_format].names_options or options_of(question):
        return
    column = next((name for name in CHOICES if isinstance(row.get(name), list | dict)), None)
    if column is None:
        each = next(
            (found for names in EACH_CHOICE if len(found := [name for name in names if name in row]) > 1), []
        )
        column = " ".join(f"{{{name}}}" for name in each)
    if column:
        refuse(
            f"question: lists no options, and they seem to be in other columns; write `choices = {quoted(column)}` in"
            " [tasks.NAME.fields]"
        )


def _inner(value: Any, part: str) -> Any:
    """A part of a nested column: of an object by its key, of a list by its position; None if there is none."""
    if isinstance(value, Mapping):
        return value.get(part)
    if isinstance(value, list) and part.isdigit() and int(part) < len(value):
        return value[int(part)]
    return None


def _present(row: Mapping[str, Any], name: str) -> bool:
    value: Any = row
    for part in name.split("."):
        value = _inner(value, part)
    return value is not None and bool(value != "")


def _cell(row: Mapping[str, Any], name: str, refuse: Refuse) -> Any:
    value: Any = row
    for part in name.split("."):
        inner = _inner(value, part)
        if inner is None and not (isinstance(value, Mapping) and part in value):
            have = ", ".join(str(key)[:40] for key in list(row)[:12]) or "nothing"
            refuse(f"{name}: missing (columns of the row: {have})")
        value = inner
    if value is None or (isinstance(value, float) and math.isnan(value)):
        refuse(f"{name}: empty")
    return value if isinstance(value, Number) else plain(value)


def _last_match(pattern: str, text: str) -> str | None:
    if pattern == BOXED:
        found = boxed(text)
    else:
        found = None
        for match in re.finditer(pattern, text):
            found = match[1]
    return found.strip() or None if found is not None else None


def _rationale(pattern: str, value: Any, name: str, unreadable: str, refuse: Refuse) -> str | None:
    found = _last_match(pattern, str(value))
    if found is None and not unreadable:
        refuse(f"{name}: the pattern {pattern!r} does not match {str(value)[-80:]!r}")
    return found
