"""Fine-tune-CoT (Ho et al. 2023): the student learns to write a teacher's rationale and then the answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from engine.methods.base import TRAINED, Method, RowSettings, Sample, TrainingQuestion, TrainRow
from engine.methods.formats import ALONE, FORMATS, PLAIN, Example, RowFormat, examples_for
from engine.seeded_order import first

ARROW = "-->"
"""Separates the rationale from the answer."""
_ARROWS = re.compile(r"-{2,}>")


@dataclass(frozen=True, kw_only=True)
class FineTuneCot(Method):
    """Question to rationale and answer."""

    def rows(self, questions: Sequence[TrainingQuestion], settings: RowSettings) -> Iterator[TrainRow]:
        """One row per rationale, and those of further formats.

        With `mix_answers`, some questions get one more row that asks for the answer alone. With `formats`, further rows of rationales
        and questions are drawn; those of questions follow the question's last rationale.
        """
        count = sum(len(each.samples) for each in questions)
        asked = [each.question_id for each in questions if each.samples]
        sizes = {FORMATS[name]: round(count * share) for name, share in settings.formats.items()}
        sizes.pop(PLAIN, None)
        if mixed := settings.mix_answers:
            sizes[ALONE] = round(count * mixed / (1 - mixed))
        # Of rationales their places, of answers the questions: an answer is learned once per question.
        chosen = {
            kind: first(range(count) if kind.reasons else asked, size, settings.seed)
            for kind, size in sizes.items()
        }
        examples = self._examples(questions, settings) if any(each.shown for each in chosen) else []
        place = 0
        for each in questions:
            for sample in each.samples:
                row = TrainRow(
                    sample_id=sample.sample_id,
                    question_id=each.question_id,
                    question=each.question,
                    rationale=sample.rationale.strip(),
                    answer=_answer(each, sample, settings),
                )
                yield row
                for kind, drawn in chosen.items():
                    if kind.reasons and place in drawn:
                        asks = _put(kind, each, examples, settings, f"{kind.name}|{place}")
                        yield row.model_copy(update={"question": asks, "format": kind.name})
                place += 1
            for kind, drawn in chosen.items():
                if not kind.reasons and each.question_id in drawn:
                    yield TrainRow(
                        sample_id=None,
                        question_id=each.question_id,
                        question=_put(kind, each, examples, settings, kind.name),
                        rationale=None,
                        answer=each.answer,
                        format=kind.name if settings.formats else "",
                    )

    def _examples(self, questions: Sequence[TrainingQuestion], settings: RowSettings) -> list[Example]:
        """Each question with its first rationale."""
        plain = RowSettings(seed=settings.seed, own_answers=settings.own_answers)
        firsts = [replace(each, samples=each.samples[:1]) for each in questions]
        return [self.example(row) for row in FineTuneCot.rows(self, firsts, plain)]

    def example(self, row: TrainRow) -> Example:
        """A row as a worked example."""
        return Example(
            question_id=row.question_id,
            question=row.question,
            reasoned=self.target(row),
            answer=row.answer.strip(),
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


def _put(
    kind: RowFormat,
    question: TrainingQuestion,
    examples: Sequence[Example],
    settings: RowSettings,
    key: str,
) -> str:
    """A question in a format."""
    shown = kind.shown and examples_for(
        examples, question.question_id, count=settings.shots, seed=settings.seed, key=key
    )
    return kind.put(question.question, shown or [])


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
