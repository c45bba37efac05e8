"""The base itself, untrained: asked as a teacher is asked. What training made of it is compared with this."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.methods.base import Method, RowSettings, TrainingQuestion, TrainRow


@dataclass(frozen=True, kw_only=True)
class Untrained(Method):
    """Nothing is learned."""

    def rows(self, questions: Sequence[TrainingQuestion], settings: RowSettings) -> Iterator[TrainRow]:
        """None."""
        return iter(())

    def target(self, row: TrainRow) -> str:
        """The answer."""
        return row.answer.strip()

    def parse(self, text: str) -> str | None:
        """The text that the strategy took for the answer."""
        return text.strip() or None


METHOD = Untrained(
    name="base",
    doc="nothing is trained: the base answers the dev and test questions, asked by `strategy`",
    title="no training",
    teaches="nothing",
    writes="{answer}",
    rank=-1,
    trains=False,
    reads_samples=False,
    labels=("gold",),
    axes=frozenset({"base", "max_new_tokens"}),
    train_at=(0,),
    no_answer="no answer: empty",
)
