"""Fine-tune-CoT (Ho et al. 2023): the student learns to write a teacher's rationale and then the answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.methods.base import TRAINED, Method, RowSettings, Sample, TrainingQuestion, TrainRow
from engine.seeded_order import first

ARROW = "-->"
"""Separates the rationale from the answer."""
_ARROWS = re.compile(r"-{2,}>")
ANSWER_ONLY = "(Answer only.)"
"""Follows the question in rows that ask for the answer alone, when they are mixed with rows that have rationales."""


@dataclass(frozen=True, kw_only=True)
class FineTuneCot(Method):
    """Question to rationale and answer."""

    def rows(self, questions: Sequence[TrainingQuestion], settings: RowSettings) -> Iterator[TrainRow]:
        """One row per rationale. With `mix_answers`, some questions get one more row that asks for the answer alone.

        That row follows the question's last rationale.
        """
        share = settings.mix_answers
        count = sum(len(each.samples) for each in questions)
        asked = [each.question_id for each in questions if each.samples]
        alone = first(asked, round(count * share / (1 - share)), settings.seed)
        for each in questions:
            for sample in each.samples:
                yield TrainRow(
                    sample_id=sample.sample_id,
                    question_id=each.question_id,
                    question=each.question,
                    rationale=sample.rationale.strip(),
                    answer=_answer(each, sample, settings),
                )
            if each.question_id in alone:
                yield TrainRow(
                    sample_id=None,
                    question_id=each.question_id,
                    question=f"{each.question.rstrip()} {ANSWER_ONLY}",
                    rationale=None,
                    answer=each.answer,
                )

    def target(self, row: TrainRow) -> str:
        """`{rationale} --> {answer}`, or the answer alone."""
        answer = row.answer.strip()
        if row.rationale is None:
            return answer
        # An arrow inside a rationale would end it too early when the answer is read back.
        rationale = _ARROWS.sub("->", row.rationale.strip())
        return f"{rationale} {ARROW} {answer}"

    def parse(self, text: str) -> str | None:
        """What follows the arrow. A text that never reaches the arrow has no answer, whatever numbers it contains."""
        _, arrow, rest = text.partition(ARROW)
        return rest.strip() or None if arrow else None


def _answer(question: TrainingQuestion, sample: Sample, settings: RowSettings) -> str:
    """The answer under a rationale: the one to learn (Ho et al. 2023), or with `own_answers` that of a wrong rationale."""
    if not settings.own_answers or question.label is not None or sample.correct:
        return question.answer
    return sample.extracted or ""


METHOD = FineTuneCot(
    name="fine-tune-cot",
    doc="question to rationale and answer",
    title="Fine-tune-CoT (Ho et al. 2023)",
    teaches="rationales and answers",
    writes=f"{{rationale}} {ARROW} {{answer}}",
    rank=1,
    reads_samples=True,
    labels=("gold", "majority", "teacher"),
    axes=TRAINED | {"teacher", "rationales", "filter", "sampling", "temperature", "max_tokens"},
    train_at=("complete",),
    markers=(ARROW,),
    no_answer=f"no answer: the text ends without {ARROW!r}",
)
