"""What a student method is: the rows it trains on, the text it learns to write, and how its answer is read.

Everything that differs between methods is a field or function of `Method`. The rest of the program asks the object and
never compares its name. Imports nothing heavy: the configuration is built on it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

LabelSource = Literal["gold", "majority", "teacher"]
"""Where the answer that a student learns comes from: the data, the majority of a question's samples, or the sample."""


TRAINED = frozenset({"questions", "base", "batch_rows", "epochs", "steps", "max_new_tokens"})
"""The axes of an experiment that every trained student depends on."""


class Sample(Protocol):
    """A graded rationale that curation kept."""

    @property
    def sample_id(self) -> int | None:
        """Its id in the database; None for a rationale of the data."""

    @property
    def rationale(self) -> str:
        """The text of the teacher, or of the data."""

    @property
    def correct(self) -> bool:
        """Whether its answer equals the gold answer."""

    @property
    def extracted(self) -> str | None:
        """The answer that the grader read from it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingQuestion:
    """A training question and the samples that curation kept, in order of replicate."""

    question_id: int
    question: str
    gold: str
    label: str | None = None
    """The pseudo-label that replaces the gold answer, with `labels = "majority"`."""
    samples: Sequence[Sample] = ()
    rationale: str | None = None
    """The rationale in the data, if there is one."""

    @property
    def answer(self) -> str:
        """The answer to learn: the pseudo-label if there is one, otherwise the gold answer."""
        return self.gold if self.label is None else self.label


@dataclass(frozen=True, kw_only=True, slots=True)
class RowSettings:
    """The settings of a student that its rows depend on."""

    mix_answers: float = 0.0
    formats: Mapping[str, float] = field(default_factory=dict)
    """Rows per rationale in each format, by its name; empty: one each, as the question stands."""
    shots: int = 4
    """Worked examples in formats that have some."""
    seed: int = 0
    own_answers: bool = False
    """Whether a wrong rationale keeps the answer it led to, where there is no pseudo-label. Otherwise it teaches the gold one."""
    guidance: str = "none"
    part: str = ""
    """The part of a method in several parts that the student is; empty: all of them."""


Turn = tuple[str, str]
"""The role that a turn has in a conversation, and its text, in one line."""


@dataclass(frozen=True, slots=True)
class Asking:
    """A turn that a student is to write: that of `role`, in the conversation about a question, after `turns`."""

    question: str
    role: str
    turns: tuple[Turn, ...] = ()


StudentTurns = Generator[Asking, str, tuple[Turn, ...]]
"""A student's conversation: it yields the turn to write, is sent its text, and returns all turns."""


class TrainRow(BaseModel):
    """One training example: a line of `manifest.jsonl`.

    The five fields of version 1 have no default and are always written. A later field needs a default and is left out
    of the line while it has it, so digests of existing manifests never change.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sample_id: int | None
    """None for rows made from a question and its answer alone."""
    question_id: int
    question: str
    rationale: str | None
    """None where the student learns to write the answer alone."""
    answer: str
    turns: tuple[Turn, ...] = ()
    """What the student learns to write turn by turn, in place of one text of rationale and answer."""
    part: str = ""
    """The part of the method that learns from it: the turns of its roles. Empty: all turns."""
    format: str = ""
    """The format of its question, of a mixture; empty: the question stands as it is, and a rationale is learned."""
    teacher: str = ""
    """Who wrote the rationale, for students that select rows by their teachers."""
    task: str = ""
    """Its task, for such students."""
    gold: str = ""
    """The gold answer, for such students, where it is not the answer."""


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """A student method."""

    name: str
    doc: str
    """What it learns, in a few words; part of docs/configuration.md."""
    title: str
    """Its name in the card of an exported student."""
    teaches: str
    """What its rows contain, in cards."""
    writes: str
    """The shape of what its student writes, in cards."""
    rank: int
    """Its place in tables, figures and lists, from the simplest method on."""
    trains: bool = True
    """Whether its student is trained. Otherwise the base is measured, and nothing is exported."""
    reads_samples: bool
    """Whether its rows are made from samples of plans. If so, the plans' fingerprints are part of a run's fingerprint."""
    reads_rationales: bool = False
    """Whether its rows are made from the rationales in the data. Questions without one are left out."""
    labels: tuple[LabelSource, ...]
    """The values of `curation.labels` that it supports."""
    axes: frozenset[str]
    """The axes of an experiment that its students depend on."""
    train_at: tuple[int | Literal["complete"], ...]
    """When an experiment trains its students."""
    markers: tuple[str, ...] = ()
    """Texts that the student must be able to write exactly, because its answer is found by them."""
    no_answer: str
    """Why a completion counts as wrong when `parse` finds no answer."""
    roles: Mapping[str, str] = field(default_factory=dict)
    """The roles of its turns, with the text that comes before each. Empty: its student writes one completion."""
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Models that it may consist of, each with its roles (`students.part`). Empty: it is one model."""
    guides: tuple[str, ...] = ("none",)
    """The values of `students.guidance` that it supports."""

    @abstractmethod
    def rows(self, questions: Sequence[TrainingQuestion], settings: RowSettings) -> Iterator[TrainRow]:
        """The training rows of some questions, in order."""

    def unfit(self, rationale: str) -> str | None:
        """Why its rows leave a rationale out; None: they do not."""
        return None

    def converse(self, question: str, guidance: str) -> StudentTurns:
        """How its student is asked, if it has `roles`."""
        raise NotImplementedError(f"{self.name} has no roles: its student writes one completion")

    def told(self, turns: Sequence[Turn]) -> str:
        """The turns of a conversation as one text, from which `parse` reads the answer."""
        return "\n".join(f"{self.roles[role]} {text}".rstrip() for role, text in turns)

    def roles_of(self, part: str) -> frozenset[str]:
        """The roles of a part; of all parts, if it is empty."""
        return frozenset(self.parts[part] if part else self.roles)

    @abstractmethod
    def target(self, row: TrainRow) -> str:
        """The text that a student learns to write for a row, without the marks of its form."""

    @abstractmethod
    def parse(self, text: str) -> str | None:
        """The answer in a text; None if there is none. The inverse of `target`, whatever rationale and answer contain."""
