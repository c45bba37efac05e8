"""Turns rows into drafts of questions. Each field is checked; each error names place, field and reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from engine.config.tasks import AnswerFormat, FieldsConfig
from engine.grading.formats import FORMATS
from engine.question import SPLIT_NAMES, Draft, Split
from engine.tasks.answers import UNREADABLE
from engine.tasks.columns import OTHER_COLUMNS, columns_of, mapped, needed_columns, unmapped
from engine.tasks.row_files import FIELDS, Number, Row, fail, kind_of, read_rows

LONGEST_FIELD = 1_000_000
"""Characters of a question, an answer or a rationale."""

LONGEST_ID = 200

_NO_ANSWER = "(no answer)"
"""A column that stands in for that of the answers."""

_FORBIDDEN = re.compile("[\x00\ud800-\udfff]")


def read_drafts(
    path: Path,
    split: Split | None = None,
    *,
    fields: FieldsConfig | None = None,
    answer_format: AnswerFormat = "text",
    labelled: bool = True,
) -> list[Draft]:
    """The questions of a file.

    Args:
        path: the file; its suffix gives the format.
        split: the split that the file's name gives; a row may repeat it, but not contradict it.
        fields: which columns hold what, if they are not called question and answer.
        answer_format: the task's.
        labelled: whether the rows have gold answers; else their answers are not read, and those of the drafts are empty.

    Raises:
        TaskDataError: names file, line (or row) and reason.
    """
    if fields is None:
        rows = read_rows(path, known=(*FIELDS, *OTHER_COLUMNS))
    else:
        read = fields if labelled else fields.model_copy(update={"answer": fields.question})
        rows = read_rows(path, needed_columns(read), columns_of(read))
    if not labelled:
        return unlabelled(path, rows, fields, answer_format, split)
    return make_drafts(path, mapped_rows(path, rows, fields, answer_format), split)


def unlabelled(
    path: Path | str,
    rows: Iterable[tuple[int, Row]],
    fields: FieldsConfig | None,
    answer_format: AnswerFormat,
    split: Split | None = None,
) -> list[Draft]:
    """Drafts of rows whose answers are not read: those of the drafts are empty."""
    name = "answer" if fields is None else _NO_ANSWER
    stand_in = FORMATS[answer_format].stand_in
    if fields is not None:
        fields = fields.model_copy(
            update={"answer": name, "answer_pattern": None, "rationale": None, "rationale_pattern": None}
        )
    filled = ((line, {**row, name: stand_in}) for line, row in rows)
    drafts = make_drafts(path, mapped_rows(path, filled, fields, answer_format), split)
    return [replace(draft, answer="", rationale=None, unreadable="") for draft in drafts]


def mapped_rows(
    path: Path | str,
    rows: Iterable[tuple[int, Row]],
    fields: FieldsConfig | None,
    answer_format: AnswerFormat,
) -> Iterator[tuple[int, Row]]:
    """Rows with the columns that `fields` names (None: our own), as rows with the columns question and answer."""
    for line, row in rows:

        def refuse(reason: str, line: int = line) -> NoReturn:
            fail(path, str(line), reason)

        if fields is None:
            yield line, unmapped(row, answer_format, refuse)
        else:
            yield line, mapped(row, fields, answer_format, refuse)


def make_drafts(path: Path | str, rows: Iterable[tuple[int, Row]], split: Split | None = None) -> list[Draft]:
    """Drafts of rows with their lines; `path` names the file or data set.

    Raises:
        TaskDataError: names path, line and reason.
    """
    drafts: list[Draft] = []
    places: dict[str, int] = {}
    for line, row in rows:
        draft = _draft(path, line, row, split)
        if draft.key in places:
            fail(path, str(line), f"id: {draft.key!r} is already used on line {places[draft.key]}")
        places[draft.key] = line
        drafts.append(draft)
    if not drafts:
        fail(
            path, "", 'no questions; expected one object on each line: {"id": …, "question": …, "answer": …}'
        )
    return drafts


def _draft(path: Path | str, line: int, row: Row, split: Split | None) -> Draft:
    place = str(line)
    text = _text(path, place, row, "question")
    answer = _text(path, place, row, "answer")
    rationale = _text(path, place, row, "rationale") if row.get("rationale") not in (None, "") else None
    key = place if split is None else f"{split}-{place}"
    if row.get("id") not in (None, ""):
        key = _text(path, place, row, "id")
        if len(key) > LONGEST_ID:
            fail(path, place, f"id: longer than {LONGEST_ID} characters")
    own = _split(path, place, row.get("split"))
    if split is not None and own not in (None, split):
        fail(path, place, f"split: expected {split!r}, as in the file's name (got {own!r})")
    return Draft(
        key=key,
        text=text,
        answer=answer,
        rationale=rationale,
        split=split or own,
        place=f"{path}:{line}",
        unreadable=row.get(UNREADABLE, ""),
    )


def _split(path: Path | str, place: str, value: Any) -> Split | None:
    if value in (None, ""):
        return None
    split = SPLIT_NAMES.get(value.strip().lower()) if isinstance(value, str) else None
    if split is None:
        fail(
            path, place, f"split: expected train, dev (or validation, valid, val) or test (got {value!r:.60})"
        )
    return split


def _text(path: Path | str, place: str, row: Row, name: str) -> str:
    if name not in row:
        near = f" (columns of the row: {', '.join(str(key)[:40] for key in list(row)[:8]) or 'nothing'})"
        fail(path, place, f"{name}: missing{near}")
    value = row[name]
    if isinstance(value, Number) and name in ("answer", "id"):
        value = str(value)
    if type(value) is not str:
        wanted = "a string or a number" if name in ("answer", "id") else "a string"
        fail(path, place, f"{name}: expected {wanted}, got {kind_of(value)}")
    if not value.strip():
        fail(path, place, f"{name}: empty")
    if len(value) > LONGEST_FIELD:
        fail(path, place, f"{name}: longer than {LONGEST_FIELD:,} characters")
    bad = _FORBIDDEN.search(value)
    if bad:
        what = "a NUL character" if bad[0] == "\x00" else f"half a surrogate pair (U+{ord(bad[0]):04X})"
        fail(path, place, f"{name}: contains {what} at character {bad.start() + 1}")
    return value
