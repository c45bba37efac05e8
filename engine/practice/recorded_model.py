"""A model that answers with recorded completions, verbatim (`replay` of a teacher, `--replay FILE`).

A row has `question`, `rationale` and either `final` (logs of the paper's two steps: the text of the second step) or
`answer` (rows of `coterie export samples`). Several rows of a question are replicates, which are returned in turn. A question
is found in any prompt that contains its words; the longest match wins, then the last. Case, spaces, the
form of quotation marks and which of `.,;:` is written do not count.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import TaskDataError, UsageError
from engine.practice.prompts import classify
from engine.practice.simulated_model import CompletionRequest, Reply, UnknownQuestion
from engine.tasks.row_files import fail, kind_of, read_rows, suffix_of

_WORD = re.compile(r"\w+|[^\w\s]")
_ALIKE = str.maketrans({**dict.fromkeys(",;:", "."), **dict.fromkeys("‘’", "'"), **dict.fromkeys("“”", '"')})
"""Marks that differ between editions of the same data set."""
_KEY = 3


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded sample."""

    rationale: str
    answer: str
    finish_reason: str


class RecordedModel:
    """The recorded completions of some files, by question."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Reads the files.

        Raises:
            UsageError: a file's name does not end with .jsonl or .jsonl.gz.
            TaskDataError: names file, line and reason.
        """
        self._samples: dict[tuple[str, ...], list[Recorded]] = {}
        self._starts: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
        self._found: dict[str, list[Recorded] | None] = {}
        for path in paths:
            self._read(path)

    def _read(self, path: Path) -> None:
        if suffix_of(path) not in (".jsonl", ".jsonl.gz"):
            raise UsageError(f"{path}: expected a file that ends with .jsonl or .jsonl.gz")
        row = None
        for line, row in read_rows(path):
            words = tuple(_words(_field(path, line, row, "question")))
            if not words:
                fail(path, str(line), "question: empty")
            if "final" not in row and "answer" not in row:
                fail(path, str(line), "final: required (or `answer`): the recorded completion")
            sample = Recorded(
                rationale=_field(path, line, row, "rationale"),
                answer=_field(path, line, row, "final" if "final" in row else "answer"),
                finish_reason=row["finish_reason"] if isinstance(row.get("finish_reason"), str) else "stop",
            )
            if words not in self._samples:
                self._samples[words] = []
                self._starts.setdefault(words[:_KEY], []).append(words)
            self._samples[words].append(sample)
        if row is None:
            raise TaskDataError(
                f"{path}: no recorded completions; expected one object on each line with question, rationale and final or answer"
            )

    def __len__(self) -> int:
        return sum(map(len, self._samples.values()))

    def knows(self, question: str) -> bool:
        """Whether there is a completion for a question."""
        words = _words(question)
        return tuple(words) in self._samples or self._search(words) is not None

    def reply(self, request: CompletionRequest) -> Reply:
        """A recorded completion.

        Raises:
            UnknownQuestion: the prompt contains no recorded question.
        """
        prompt = classify(request.prompt)
        samples = self._find(prompt.body)
        if samples is None:
            raise UnknownQuestion
        turn = request.turn if request.temperature > 0 else 0
        sample = samples[turn % len(samples)]
        if prompt.kind == "rationale":
            return Reply(sample.rationale, True, sample.finish_reason)
        if prompt.kind in ("final", "direct"):
            sample = next(
                (s for s in samples if s.rationale.strip() and s.rationale.strip() in prompt.body), sample
            )
            return Reply(sample.answer, True)
        answer = sample.answer.strip().lstrip(":").strip()
        last = f"\nAnswer: {answer}" if prompt.kind in ("chat", "hinted") else f" The answer is {answer}"
        return Reply(f"{sample.rationale.rstrip()}{last}", True)

    def _find(self, text: str) -> list[Recorded] | None:
        if text not in self._found:
            if len(self._found) >= 8192:
                self._found.clear()
            self._found[text] = self._search(_words(text))
        return self._found[text]

    def _search(self, words: list[str]) -> list[Recorded] | None:
        best: tuple[int, int, tuple[str, ...]] | None = None
        for start in range(len(words)):
            for length in range(1, _KEY + 1):
                for question in self._starts.get(tuple(words[start : start + length]), ()):
                    fits = tuple(words[start : start + len(question)]) == question
                    # a longer question may contain a shorter one; the last of several is the one that is asked
                    if fits and (best is None or (len(question), start) >= best[:2]):
                        best = len(question), start, question
        return self._samples[best[2]] if best else None


def _words(text: str) -> list[str]:
    """A text's words and punctuation, normalised for comparison."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold().translate(_ALIKE))


def _field(path: Path, line: int, row: dict[str, object], name: str) -> str:
    value = row.get(name)
    if type(value) is str:
        return value
    fail(
        path,
        str(line),
        f"{name}: {'missing' if name not in row else f'expected a string, got {kind_of(value)}'}",
    )
