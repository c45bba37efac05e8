"""Writes rows to files: JSON lines, CSV, Parquet; and training rows in the forms that trainers read (`FORMS`)."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from state.safe import safe, safe_json

PAGE = 5000

Row = Mapping[str, Any]


def write_jsonl(rows: Iterable[Row], output: TextIO) -> int:
    """Writes one JSON object per line, with control characters escaped; returns the number of rows."""
    count = 0
    for count, row in enumerate(rows, start=1):  # noqa: B007 - the last number is the count
        output.write(safe_json(json.dumps(row, ensure_ascii=False)) + "\n")
    return count


_FORMULA = re.compile(r"'|\s*[=+\-@＝＋－＠]|[\t\r]")
_NUMBER = re.compile(r"[+-]?(?:\d[\d,]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?%?")


def write_csv(rows: Iterable[Row], output: TextIO, *, terminal: bool = False) -> int:
    """Writes a header and the rows; returns the number of rows. Lists and tables become JSON, null an empty cell.

    A spreadsheet computes a cell that begins with `=`, `+`, `-` or `@`, also after spaces, tabs and line breaks. Such a
    text, and one that begins with an apostrophe, gets an apostrophe in front, unless it is a number. So whoever removes one
    apostrophe from the cells that begin with one has the values as they were.

    Args:
        rows: all with the fields of the first.
        output: opened with `newline=""`.
        terminal: whether it is one; then control characters are replaced by visible ones.
    """
    count = 0
    writer = csv.writer(output, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    for count, row in enumerate(rows, start=1):
        if count == 1:
            names = list(row)
            heads = [_cell(name) for name in names]
            writer.writerow([safe(str(each)) for each in heads] if terminal else heads)
        cells = [_cell(row[name]) for name in names]
        writer.writerow([safe(cell) if terminal and isinstance(cell, str) else cell for cell in cells])
    return count


def _cell(value: Any) -> int | float | str:
    if value is None or isinstance(value, str):
        text = value or ""
        return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return json.dumps(value, ensure_ascii=False)


def write_parquet(rows: Iterable[Row], path: Path, types: Mapping[str, str] | None = None) -> int:
    """Writes a Parquet file in groups of rows; returns the number of rows.

    Args:
        rows: the rows.
        path: the file.
        types: `int`, `float`, `text` or `bool` by column; None: the types of the first rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = 0
    writer = None
    iterator = iter(rows)
    schema = _declared(pa, types) if types else None
    try:
        while page := list(islice(iterator, PAGE)):
            table = pa.Table.from_pylist([dict(row) for row in page], schema=schema)
            if writer is None:
                schema = schema or _without_nulls(pa, table.schema)
                writer = pq.ParquetWriter(path, schema)
            writer.write_table(table.cast(schema))
            count += len(page)
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        pq.write_table(schema.empty_table() if schema else pa.table({}), path)
    return count


def _declared(pa: Any, types: Mapping[str, str]) -> Any:
    known = {"int": pa.int64(), "float": pa.float64(), "text": pa.string(), "bool": pa.bool_()}
    return pa.schema([pa.field(name, known[kind]) for name, kind in types.items()])


def _without_nulls(pa: Any, schema: Any) -> Any:
    """A column that is empty in the first group of rows may have values later. It is text, except for the known ones."""
    entry = pa.struct([("token", pa.string()), ("value", pa.float64())])
    known = {
        "sample_id": pa.int64(),
        "correct": pa.bool_(),
        "mean_logprob": pa.float64(),
        "logprobs": pa.struct(
            [
                ("tokens", pa.list_(pa.string())),
                ("values", pa.list_(pa.float64())),
                ("top", pa.list_(pa.list_(entry))),
            ]
        ),
    }

    def typed(field: Any) -> Any:
        if field.name == "logprobs":
            return pa.field(field.name, known["logprobs"])
        if field.type == pa.list_(pa.null()):
            return pa.field(field.name, pa.list_(pa.string()))
        if field.type == pa.null():
            return pa.field(field.name, known.get(field.name, pa.string()))
        return field

    return pa.schema([typed(field) for field in schema])


KEPT = ("sample_id", "student", "scope", "task", "question_id", "split", "teacher", "model", "label")
"""Fields of a row that `chat` and `think` keep next to the messages."""
_MARK = re.compile(r"</?think>", re.IGNORECASE)


def in_form(rows: Iterable[Row], form: str) -> Iterator[dict[str, Any]]:
    """Training rows in one of `FORMS`: a question, and its rationale with the answer; with ids and label unless the form forbids it."""
    write, keeps = FORMS[form]
    for row in rows:
        yield {**write(row), **({name: row[name] for name in KEPT if name in row} if keeps else {})}


def _messages(row: Row, reply: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": row["question"]}, {"role": "assistant", "content": reply}]


def _with_answer_line(row: Row) -> str:
    rationale = row.get("rationale")
    return f"{rationale}\n\nAnswer: {row['answer']}" if rationale else f"Answer: {row['answer']}"


def _with_think(row: Row) -> str:
    """Marks inside a rationale are removed, since they would end it too early."""
    rationale = _MARK.sub("", row.get("rationale") or "").strip()
    return f"<think>\n{rationale}\n</think>\n\n{row['answer']}" if rationale else str(row["answer"])


def _chat(row: Row) -> dict[str, Any]:
    return {"messages": _messages(row, _with_answer_line(row))}


def _think(row: Row) -> dict[str, Any]:
    return {"messages": _messages(row, _with_think(row))}


def _prompt_completion(row: Row) -> dict[str, Any]:
    prompt, completion = _messages(row, _with_answer_line(row))
    return {"prompt": [prompt], "completion": [completion]}


def _sharegpt(row: Row) -> dict[str, Any]:
    turns = [("human", row["question"]), ("gpt", _with_answer_line(row))]
    return {"conversations": [{"from": who, "value": text} for who, text in turns]}


def _alpaca(row: Row) -> dict[str, Any]:
    return {"instruction": row["question"], "input": "", "output": _with_answer_line(row)}


FORMS: Mapping[str, tuple[Callable[[Row], dict[str, Any]], bool]] = {
    "openai-chat": (_chat, False),
    "chat": (_chat, True),
    "think": (_think, True),
    "prompt-completion": (_prompt_completion, True),
    "sharegpt": (_sharegpt, True),
    "alpaca": (_alpaca, True),
}
"""Forms of training rows: what a row becomes, and whether ids and label may stand beside it (OpenAI refuses further fields)."""
