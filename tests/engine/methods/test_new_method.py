"""A new method is one new file: a copy of the program with that file added makes its rows, asks its student and documents it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

METHOD = """
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.methods.base import TRAINED, Asking, Method, RowSettings, StudentTurns, TrainingQuestion, TrainRow


@dataclass(frozen=True, kw_only=True)
class Toy(Method):
    def rows(self, questions: Sequence[TrainingQuestion], settings: RowSettings) -> Iterator[TrainRow]:
        for each in questions:
            turns = (("guess", "0"), ("correct", each.answer))
            yield TrainRow(
                sample_id=None, question_id=each.question_id, question=each.question, rationale=None,
                answer=each.answer, turns=turns,
            )

    def converse(self, question: str, guidance: str) -> StudentTurns:
        first = yield Asking(question, "guess")
        second = yield Asking(question, "correct", (("guess", first),))
        return ("guess", first), ("correct", second)

    def target(self, row: TrainRow) -> str:
        return self.told(row.turns)

    def parse(self, text: str) -> str | None:
        return text.rpartition("Corrected:")[2].strip() or None


METHOD = Toy(
    name="toy", doc="a guess, then the answer", title="Toy", teaches="answers", writes="{answer}", rank=9,
    reads_samples=False, labels=("gold",), axes=TRAINED, train_at=(0,), no_answer="no answer",
    roles={"guess": "Guess:", "correct": "Corrected:"},
)
"""

SCRIPT = """
from daemon.training.method_rows import rows_of
from engine.config.document import document
from engine.config.students import StudentConfig
from engine.methods import METHODS, TrainingQuestion
from engine.students.conversations import converse
from engine.students.room import Completion

student = StudentConfig(name="s", method="toy")
[row] = rows_of([TrainingQuestion(question_id=1, question="q", gold="4")], student, ())
assert row.turns == (("guess", "0"), ("correct", "4")), row


def write(asked, temperature):
    return [Completion(f"{each.role} {len(each.turns)}", ended=True) for each in asked]


[said] = converse(METHODS["toy"], "none", write, ["q"], None)
assert METHODS["toy"].parse(said.text) == "correct 1", said
assert "toy: a guess, then the answer" in document()
"""


def test_a_method_of_turns_is_one_file(tmp_path: Path) -> None:
    copied = shutil.copytree(
        ROOT / "engine", tmp_path / "engine", ignore=shutil.ignore_patterns("__pycache__")
    )
    (copied / "methods" / "toy.py").write_text(METHOD, encoding="utf-8")
    for room in ("state", "daemon"):
        (tmp_path / room).symlink_to(ROOT / room)
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
