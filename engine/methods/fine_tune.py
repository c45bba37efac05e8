"""Plain fine-tuning: the student reads a question and learns to write its answer (the baseline of Ho et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.methods.base import TRAINED, Method, RowSettings, TrainingQuestion, TrainRow


@dataclass(frozen=True, kw_only=True)
class FineTune(Method):
    """Question to answer."""

    def rows(self, questions: Sequence[TrainingQuestion], settings: RowSettings) -> Iterator[TrainRow]:
        """One row per question."""
        for each in questions:
            yield TrainRow(
                sample_id=None,
                question_id=each.question_id,
                question=each.question,
                rationale=None,
                answer=each.answer,
            )

    def target(self, row: TrainRow) -> str:
        """The answer."""
        return row.answer.strip()

    def parse(self, text: str) -> str | None:
        """Everything."""
        return text.strip() or None


METHOD = FineTune(
    name="fine-tune",
    doc="question to answer; reads no samples",
    title="plain fine-tuning (the baseline of Ho et al. 2023)",
    teaches="answers",
    writes="{answer}",
    rank=0,
    reads_samples=False,
    labels=("gold",),
    axes=TRAINED,
    train_at=(0,),
    no_answer="no answer: empty",
)
