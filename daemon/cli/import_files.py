"""`coterie import reasoning-teacher DIR`: writes the authors' files as tasks, worked examples and completions to replay."""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from engine.errors import UsageError
from engine.tasks.paper_splits import has_papers_test, paper_splits
from engine.tasks.reasoning_teacher import DEFAULT, Checkout, CompletionSet, Question, replay_rows
from state.safe import safe


def command(arguments: argparse.Namespace) -> int:
    """Writes the files, and a configuration that uses them unless there is one."""
    checkout = Checkout(arguments.folder)
    keys = arguments.task or list(checkout.datasets)
    for key in keys:
        if key not in checkout.datasets:
            raise UsageError(f"--task {key}: not among the data sets there: {', '.join(checkout.datasets)}")
    output: Path = arguments.output
    read: dict[str, list[Question]] = {}
    papers: dict[str, bool] = {}
    for key in keys:
        questions = checkout.questions(key)
        splits = checkout.splits(key, len(questions))
        if _task(output, key, questions, splits):
            read[key] = questions
            papers[key] = has_papers_test(
                key,
                [questions[index].question for index, split in splits[DEFAULT].items() if split == "test"],
            )
        examples = checkout.exemplars(key)
        if examples:
            rows = [
                {"question": each.question, "rationale": each.rationale, "answer": each.answer}
                for each in examples
            ]
            _write(output / "exemplars" / f"{key}.jsonl", rows)
        _say(f"  {len(examples)} worked examples" if examples else "  no worked examples in its prompts file")
    if not read:
        raise UsageError(
            f"{arguments.folder}: no data set has a split (data/split/KEY__{DEFAULT}.json): nothing to train on"
        )
    teachers = {}
    for each in checkout.completions():
        if path := _replay(output, each, read):
            teachers[_slug(f"{each.model}.{each.kind}")] = each.model, path
    if not teachers:
        _say(
            "no completions to replay: unpack teacher_completion_data.tar.gz, which the README of the repository links, into"
            " saved/completion_data/"
        )
    _config(output, papers, teachers)
    return 0


def _task(output: Path, key: str, questions: list[Question], splits: Mapping[str, Mapping[int, str]]) -> bool:
    """Writes a task file for each split; returns whether there is the default one."""
    if DEFAULT not in splits:
        _say(f"{key}: not read, as it has no split (data/split/{key}__{DEFAULT}.json)")
    for name, split in splits.items():
        rows = [
            {
                "id": f"{key}/{index}",
                "question": each.question,
                "answer": each.answer,
                **({"rationale": each.rationale} if each.rationale else {}),
                "split": split[index],
            }
            for index, each in enumerate(questions)
            if index in split
        ]
        path = output / "tasks" / (f"{key}.jsonl.gz" if name == DEFAULT else f"{key}.{name}.jsonl.gz")
        _write(path, rows)
        counts = Counter(split.values())
        rest = len(questions) - len(split)
        left = f"; {rest:,} questions are in neither and left out" if rest else ""
        _say(f"{path}: {counts['train']:,} train and {counts['test']:,} test questions{left}")
    return DEFAULT in splits


def _replay(output: Path, completions: CompletionSet, read: Mapping[str, list[Question]]) -> Path | None:
    """Writes one file of completions; None if none of them can be replayed."""
    rows: list[dict[str, Any]] = []
    path = output / "replay" / f"{_slug(f'{completions.model}.{completions.kind}')}.jsonl.gz"
    for key, file in completions.files.items():
        if key not in read:
            continue
        refused: Counter[str] = Counter()
        counts: Counter[int] = Counter()
        for row in replay_rows(file, key, read[key]):
            if isinstance(row, str):
                refused[row] += 1
            else:
                counts[row["index"]] += 1
                rows.append(row)
        if counts:
            least, most = min(counts.values()), max(counts.values())
            each = f"{least}" if least == most else f"{least} to {most}"
            _say(f"{file}: {counts.total():,} completions, {each} for each of {len(counts):,} questions")
        for reason, count in refused.items():
            _say(f"{file}: {count:,} completions not read: {reason}")
    for reason, names in _by_reason(completions.skipped).items():
        _say(
            f"B_{completions.model}__C_{completions.kind}: {len(names):,} files not read, {reason}, such as {names[0]}"
        )
    if not rows:
        return None
    _write(path, rows)
    return path


def _by_reason(skipped: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, reason in skipped.items():
        found.setdefault(reason, []).append(name)
    return found


def _config(output: Path, papers: Mapping[str, bool], teachers: Mapping[str, tuple[str, Path]]) -> None:
    """Writes a configuration with the tasks, and a teacher that replays for each file of completions.

    Tasks with the paper's own test questions are split by its lists, which keep the questions that its data repeat.
    """
    lines = [
        "# Written by `coterie import reasoning-teacher`. Add plans and students, or an [experiment] (docs/method.md).",
        "",
    ]
    for name, (model, path) in teachers.items():
        lines += [
            f"[teachers.{json.dumps(name)}]",
            "builtin = true",
            f"replay = {json.dumps(path.relative_to(output).as_posix())}",
            f"model = {json.dumps(model)}",
            "",
        ]
    for key, by_list in papers.items():
        lines += [
            f"[tasks.{key}]",
            f'source = "tasks/{key}.jsonl.gz"',
            f'answer = "{paper_splits()[key].answer}"',
            *(['split_by = "paper"'] if by_list else []),
            "",
        ]
    path = output / "config.toml"
    if path.exists():
        _say(f"{path}: exists and was not changed")
    else:
        path.write_text("\n".join(lines), encoding="utf-8")
        _say(f"{path}: written, with {len(papers)} tasks and {len(teachers)} teachers")


def _slug(text: str) -> str:
    """A text as a name of the configuration."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")[:64] or "teacher"


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode(
        "utf-8", "surrogatepass"
    )
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)


def _say(text: str) -> None:
    sys.stdout.write(safe(text) + "\n")
