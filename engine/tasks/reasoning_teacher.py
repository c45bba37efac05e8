"""Reads a checkout of the authors' repository, github.com/itsnamgyu/reasoning-teacher, as tasks, examples and completions.

    data/dataset/KEY.json               questions by index (`dataset.tar.gz` of its README, which git does not have)
    data/split/KEY__NAME.json           indices of train and test; NAME is `default` or `template`
    data/few_shot_cot_prompts.json      worked examples of Few-shot-CoT, as one prompt per data set
    saved/completion_data/B_MODEL__C_KIND/D_KEY.json
                                        completions by index (`teacher_completion_data.tar.gz`), up to 64 per question

Completions of two steps (Zero-shot-CoT) become rows that the built-in teacher replays. Those of one step and of students are
named and not read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from engine.errors import UsageError
from engine.question import Exemplar
from engine.tasks.paper_splits import paper_splits
from engine.tasks.row_files import Row, fail, kind_of

DEFAULT = "default"
_SET = re.compile(r"B_(?P<model>.+)__C_(?P<kind>.+)")
_EXAMPLE = re.compile(
    r"(?s)\s*(?P<question>.+?)\nA:\s*(?P<rationale>.+?)\s*The answer is (?P<answer>.+?)\.?\s*"
)


@dataclass(frozen=True, slots=True)
class Question:
    """A row of a data set."""

    question: str
    answer: str
    rationale: str | None


@dataclass(frozen=True, slots=True)
class CompletionSet:
    """The files of one model and kind of completion, by data set, and those that cannot be replayed with the reason."""

    model: str
    kind: str
    files: dict[str, Path]
    skipped: dict[str, str]


class Checkout:
    """A checkout; nothing is read before it is asked for."""

    def __init__(self, folder: Path) -> None:
        """Finds the data sets.

        Raises:
            UsageError: the folder is missing, or it has none.
        """
        if not folder.is_dir():
            raise UsageError(
                f"{folder}: no such folder; expected a checkout of github.com/itsnamgyu/reasoning-teacher"
            )
        self.folder = folder
        places = [folder / "data" / "dataset", folder / "dataset"]  # the latter: before its release
        found = next((place for place in places if place.is_dir()), places[0])
        self.datasets = {
            path.stem: path for path in sorted(found.glob("*.json")) if path.stem in paper_splits()
        }
        if not self.datasets:
            raise UsageError(
                f"{found}: no data set ({', '.join(paper_splits())}); git does not have them: unpack dataset.tar.gz, which the README of"
                " the repository links, into data/"
            )

    def questions(self, key: str) -> list[Question]:
        """The questions of a data set, by index.

        Raises:
            TaskDataError: the file cannot be read; names the row and the reason.
        """
        path = self.datasets[key]
        rows = _list(path, "data", _object(path).get("data"))
        found = []
        for index, row in enumerate(rows):
            place = f"data[{index}]"
            if not isinstance(row, dict):
                fail(path, place, f"expected an object, got {kind_of(row)}")
            if row.get("sample_index", index) != index:
                fail(path, place, f"sample_index: expected {index}, got {row['sample_index']!r:.40}")
            rationale = row.get("rationale")
            found.append(
                Question(
                    question=_text(path, place, row, "question"),
                    answer=_text(path, place, row, "answer"),
                    rationale=rationale if isinstance(rationale, str) and rationale.strip() else None,
                )
            )
        return found

    def splits(self, key: str, size: int) -> dict[str, dict[int, str]]:
        """The split of each index that has one, by the split's name.

        Raises:
            TaskDataError: a file cannot be read, or names a question that is not in the data set.
        """
        found: dict[str, dict[int, str]] = {}
        for place in ("split", "splits"):
            for path in sorted((self.folder / "data" / place).glob(f"{key}__*.json")):
                found[path.stem.partition("__")[2]] = _split(path, size)
        return found

    def exemplars(self, key: str) -> list[Exemplar]:
        """The worked examples of a data set; none if its prompt cannot be taken apart.

        Raises:
            TaskDataError: the file is no JSON object.
        """
        path = self.folder / "data" / "few_shot_cot_prompts.json"
        if not path.exists():
            return []
        entry = _object(path).get(key)
        prompt = entry.get("prompt") if isinstance(entry, dict) else None
        parts = re.split(r"(?:\A|\n)Q:", prompt)[1:] if isinstance(prompt, str) else []
        matches = [_EXAMPLE.fullmatch(part) for part in parts]
        return [Exemplar(**match.groupdict()) for match in matches if match] if all(matches) else []

    def completions(self) -> list[CompletionSet]:
        """The completions there are, by model and kind."""
        found = []
        for root in (self.folder / "saved" / "completion_data", self.folder / "completion_data"):
            for place in sorted(root.glob("B_*__C_*")):
                named = _SET.fullmatch(place.name)
                if named is None:
                    continue
                files, skipped = {}, {}
                for path in sorted(place.glob("*.json")):
                    key = path.stem.removeprefix("D_")
                    if key in paper_splits():
                        files[key] = path
                    else:
                        skipped[path.name] = "of a student, or of another data set"
                found.append(CompletionSet(named["model"], named["kind"], files, skipped))
        return found


def replay_rows(path: Path, key: str, questions: list[Question]) -> Iterator[Row | str]:
    """The completions of a file as rows to replay, in order; for one that cannot be replayed the reason.

    Raises:
        TaskDataError: the file cannot be read, or is of another data set.
    """
    content = _object(path)
    metadata = content.get("metadata")
    named = metadata.get("dataset_key") if isinstance(metadata, dict) else None
    if named not in (None, key):
        fail(path, "metadata", f"dataset_key: expected {key!r}, as in the file's name, got {named!r:.60}")
    data = content.get("data")
    if not isinstance(data, dict):
        fail(path, "", f"data: expected an object from index to completions, got {kind_of(data)}")
    for index, samples in sorted(data.items(), key=lambda item: _index(path, item[0], len(questions))):
        for number, sample in enumerate(_list(path, f"data.{index}", samples)):
            place = f"data.{index}[{number}]"
            if not isinstance(sample, dict):
                fail(path, place, f"expected an object, got {kind_of(sample)}")
            yield _replay_row(key, int(index), questions[int(index)], number, sample)


def _replay_row(key: str, index: int, question: Question, number: int, sample: dict[str, Any]) -> Row | str:
    rationale, final = sample.get("reasoning_completion"), sample.get("completion")
    if not isinstance(rationale, str):
        return "without reasoning_completion: not of the two steps of Zero-shot-CoT"
    if not isinstance(final, str):
        return "without completion: its second step was not done"
    if str(sample.get("question", question.question)).split() != question.question.split():
        return "of another question than the data set has at that index"
    reason = sample.get("reasoning_finish_reason")
    return {
        "task": key,
        "index": index,
        "completion": number,
        "question": question.question,
        "rationale": rationale,
        "final": final,
        "finish_reason": reason if isinstance(reason, str) else "stop",
    }


def _split(path: Path, size: int) -> dict[int, str]:
    content = _object(path)
    found: dict[int, str] = {}
    for split in ("train", "test"):
        for index in _list(path, split, content.get(split)):
            if type(index) is not int or not 0 <= index < size:
                fail(
                    path,
                    split,
                    f"expected indices from 0 to {size - 1:,}, as in the data set, got {index!r:.40}",
                )
            if found.setdefault(index, split) != split:
                fail(path, split, f"question {index} is in train and in test")
    return found


def _index(path: Path, text: str, size: int) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < size):
        fail(path, "data", f"expected indices from 0 to {size - 1:,}, as in the data set, got {text!r:.40}")
    return int(text)


def _object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        fail(path, "", f"cannot be read: {error.strerror or error}")
    except (ValueError, RecursionError) as error:
        fail(path, "", f"not valid JSON: {error}")
    if not isinstance(content, dict):
        fail(path, "", f"expected an object, got {kind_of(content)}")
    return content


def _list(path: Path, place: str, value: object) -> list[Any]:
    if not isinstance(value, list):
        _refuse(path, place, value)
    return value


def _refuse(path: Path, place: str, value: object) -> NoReturn:
    fail(path, place, "missing" if value is None else f"expected a list, got {kind_of(value)}")


def _text(path: Path, place: str, row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        fail(
            path, place, f"{name}: expected text, got {'nothing' if value in (None, '') else kind_of(value)}"
        )
    return value
