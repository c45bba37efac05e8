"""Socratic CoT on the sub-questions in the data, such as those of GSM8K's Socratic files, in place of a teacher's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.methods import socratic
from engine.methods.base import TRAINED, RowSettings, TrainingQuestion, TrainRow
from engine.methods.fine_tune_golden import golden


@dataclass(frozen=True, kw_only=True)
class SocraticGolden(socratic.Socratic):
    """The rationale in the data, in sub-questions; the rest is as in `socratic`."""

    def rows(self, questions: Sequence[TrainingQuestion], settings: RowSettings) -> Iterator[TrainRow]:
        """One row per question whose rationale is in sub-questions, and those of `mix_answers`."""
        return super().rows(golden(questions), settings)


METHOD = SocraticGolden(
    name="socratic-golden",
    doc="likewise, from the sub-questions in the data; reads no samples",
    title="Socratic CoT on the sub-questions in the data",
    teaches="sub-questions and solutions of the data, and answers",
    writes=socratic.METHOD.writes,
    rank=4,
    reads_samples=False,
    reads_rationales=True,
    labels=("gold",),
    axes=TRAINED,
    train_at=(0,),
    no_answer=socratic.METHOD.no_answer,
    roles=socratic.METHOD.roles,
    parts=socratic.METHOD.parts,
    guides=socratic.METHOD.guides,
)
