"""Fine-tune-CoT on the rationales in the data ("golden" ones, written by people), in place of a teacher's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from engine.methods.base import TRAINED, RowSettings, TrainingQuestion, TrainRow
from engine.methods.fine_tune_cot import ARROW, FineTuneCot


@dataclass(frozen=True, slots=True)
class _Golden:
    """The rationale of a row."""

    rationale: str
    sample_id: None = None
    correct: bool = True
    extracted: None = None


@dataclass(frozen=True, kw_only=True)
class FineTuneGolden(FineTuneCot):
    """Question to the rationale in the data and the gold answer; the rest is as in Fine-tune-CoT."""

    def rows(self, questions: Sequence[TrainingQuestion], settings: RowSettings) -> Iterator[TrainRow]:
        """One row per question with a rationale, and those of `mix_answers`."""
        return super().rows(golden(questions), settings)


def golden(questions: Sequence[TrainingQuestion]) -> list[TrainingQuestion]:
    """The questions with the rationale in the data as their one sample, without those that have none."""
    return [
        replace(each, samples=(_Golden(each.rationale),))
        for each in questions
        if each.rationale is not None and each.rationale.strip()
    ]


METHOD = FineTuneGolden(
    name="fine-tune-golden",
    doc="question to the rationale in the data and the answer; reads no samples",
    title="Fine-tune-CoT on the rationales in the data",
    teaches="rationales of the data and answers",
    writes=f"{{rationale}} {ARROW} {{answer}}",
    rank=2,
    reads_samples=False,
    reads_rationales=True,
    labels=("gold",),
    axes=TRAINED,
    train_at=(0,),
    markers=(ARROW,),
    no_answer=f"no answer: the text ends without {ARROW!r}",
)
