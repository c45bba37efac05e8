"""Reads the rows of a file: JSON lines (also .gz), CSV (also .gz) or Parquet, each with its place in the file.

A place is a line of a text file or a row of a Parquet file, from 1. Every error is a TaskDataError that names file and
place. A byte order mark and CRLF are accepted. `drafts.py` turns rows into questions.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn, cast

from engine.errors import TaskDataError

LONGEST_LINE = 8 * 1024 * 1024
"""Bytes; a longer line is refused before it is read to its end."""

SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".parquet")

FIELDS = ("id", "question", "answer", "rationale", "split")

_NAME_THEM = "name the columns of question and answer in [tasks.NAME.fields]"

Row = dict[str, Any]


class Number(str):
    """A number of a JSON file as it was written, so that floating point loses nothing."""

    __slots__ = ()


def fail(path: Path | str, place: str, reason: str) -> NoReturn:
    """Raise a TaskDataError that names file (or data set), place and reason."""
    raise TaskDataError(f"{path}:{place}: {reason}" if place else f"{path}: {reason}")


def suffix_of(path: Path | str) -> str | None:
    """The supported suffix of a file's name, or None."""
    name = str(path).lower()
    return next((suffix for suffix in sorted(SUFFIXES, key=len, reverse=True) if name.endswith(suffix)), None)


def read_rows(
    path: Path, needed: Sequence[str] = ("question", "answer"), known: Sequence[str] = FIELDS
) -> Iterator[tuple[int, Row]]:
    """The rows of a file with their places.

    Args:
        path: the file; its suffix gives the format.
        needed: columns that a table (CSV, Parquet) must have; their empty cells are kept.
        known: columns that are read; other columns of a Parquet file are skipped.

    Raises:
        TaskDataError: the file cannot be read, or a line is not a row.
    """
    suffix = suffix_of(path) or ".jsonl"
    try:
        if suffix == ".parquet":
            yield from _parquet(path, needed, known)
        elif suffix.startswith(".csv"):
            yield from _csv(path, needed, known)
        else:
            yield from read_json_lines(path)
    except FileNotFoundError:
        fail(path, "", "no such file")
    except OSError as error:
        fail(path, "", f"cannot be read: {error.strerror or error}")


def read_json_lines(path: Path) -> Iterator[tuple[int, Row]]:
    """The objects of a JSON lines file with their lines; empty lines are skipped."""
    for line, text in _lines(path):
        if not text.strip():
            continue
        try:
            value = json.loads(text, parse_int=Number, parse_float=Number, parse_constant=_constant)
        except json.JSONDecodeError as error:
            fail(path, str(line), f"not valid JSON: {error.msg} at column {error.colno}")
        except ValueError as error:
            fail(path, str(line), f"not valid JSON: {error}")
        except RecursionError:
            fail(path, str(line), "not valid JSON: nested too deeply")
        if not isinstance(value, dict):
            fail(path, str(line), f"expected one JSON object on each line, got {kind_of(value)}")
        yield line, value


def kind_of(value: object) -> str:
    """A value's JSON type, for error messages."""
    if value is None:
        return "null"
    if isinstance(value, Number | int | float) and not isinstance(value, bool):
        return "a number"
    names = {bool: "true or false", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _open(path: Path) -> IO[bytes]:
    if path.exists() and not path.is_file():
        fail(
            path,
            "",
            "not a regular file; data are read more than once, so a pipe or device cannot be a source",
        )
    file = gzip.open(path, "rb") if str(path).lower().endswith(".gz") else path.open("rb")
    return cast("IO[bytes]", file)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file, from 1, decoded one by one so that an error names its line."""
    with _open(path) as file:
        line = 0
        while True:
            line += 1
            try:
                raw = file.readline(LONGEST_LINE + 1)
            except (gzip.BadGzipFile, zlib.error, EOFError) as error:
                fail(path, str(line), f"damaged gzip data: {error}")
            if not raw:
                return
            if len(raw) > LONGEST_LINE:
                fail(path, str(line), f"line longer than {LONGEST_LINE // 1024 // 1024} MB")
            try:
                yield line, raw.decode("utf-8-sig" if line == 1 else "utf-8")
            except UnicodeDecodeError as error:
                fail(path, str(line), f"not UTF-8: {error.reason} at byte {error.start}")


def _csv(path: Path, needed: Sequence[str], known: Sequence[str]) -> Iterator[tuple[int, Row]]:
    previous = csv.field_size_limit(LONGEST_LINE)
    try:
        reader = csv.reader((text for _, text in _lines(path)), strict=True)
        header: list[str] | None = None
        while True:
            line = reader.line_num + 1  # a row may span several lines: its first line is its place
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                fail(path, str(line), f"not valid CSV: {error}")
            if not cells:
                continue
            if header is None:
                header = [name.strip() for name in cells]
                _check_header(path, line, header, needed, known)
                continue
            if len(cells) != len(header):
                fail(path, str(line), f"expected {len(header)} cells, as in the header, got {len(cells)}")
            yield (
                line,
                {name: cell for name, cell in zip(header, cells, strict=True) if cell or name in needed},
            )
    finally:
        csv.field_size_limit(previous)


def _check_header(
    path: Path, line: int, header: list[str], needed: Sequence[str], known: Sequence[str]
) -> None:
    for name in needed:
        if name not in header:
            fail(
                path,
                str(line),
                f"no column {name!r} in the header (columns: {', '.join(header)}); {_NAME_THEM}",
            )
    twice = [name for name in known if header.count(name) > 1]
    if twice:
        fail(path, str(line), f"the header has the column {twice[0]!r} twice")


def _parquet(path: Path, needed: Sequence[str], known: Sequence[str]) -> Iterator[tuple[int, Row]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        fail(path, "", "not a file" if path.exists() else "no such file")
    try:
        with pq.ParquetFile(path) as file:
            columns = [name for name in file.schema_arrow.names if name in known]
            for name in needed:
                if name not in columns:
                    names = ", ".join(file.schema_arrow.names)
                    fail(path, "", f"no column {name!r} (columns: {names}); {_NAME_THEM}")
            row = 0
            for batch in file.iter_batches(batch_size=1024, columns=columns):
                for values in batch.to_pylist():
                    row += 1
                    yield (
                        row,
                        {name: plain(value) for name, value in values.items() if _present(value)},
                    )
    except (pa.ArrowException, UnicodeDecodeError) as error:
        fail(path, "", f"not a valid Parquet file: {str(error).splitlines()[0]}")


def _present(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def plain(value: object) -> object:
    """A cell as a JSON file would hold it; a float that is a whole number becomes one again."""
    if isinstance(value, bool | str | list | dict) or value is None:
        return value
    if isinstance(value, float) and value.is_integer():
        return Number(int(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return Number(value)
