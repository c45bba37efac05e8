"""The card of an exported training set: collects the contents of `engine.data_card` from configuration and database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from daemon.training.manifest import Chosen
from engine.config import Config, StudentConfig
from engine.data_card import MADE_BY, Card, CardConfig, CardPart, CardTask, CardTeacher, data_card
from engine.errors import UsageError
from engine.students.spec import digest_of
from state.exports import teachers_of
from state.sqlite import Connection

NAME = "README.md"


@dataclass(frozen=True, slots=True)
class Part:
    """The rows that one student would read on one scope, and the source of its answers: gold or majority."""

    student: StudentConfig
    scope: str
    tasks: tuple[str, ...]
    label: str
    chosen: Chosen
    by_gold: frozenset[str] = frozenset()
    """Tasks of it that are learned by their gold answers although the student's labels are votes: others have none."""

    def label_of(self, task: str) -> str:
        """Where the answers of a task are from."""
        return "gold" if task in self.by_gold else self.label

    @property
    def labels(self) -> str:
        """Where its answers are from, in words."""
        return " and ".join(sorted({self.label_of(task) for task in self.tasks}))


def write_card(
    connection: Connection,
    config: Config,
    parts: Sequence[Part],
    output: Path,
    form: str,
    configs: Sequence[CardConfig] = (),
    samples: Collection[int] = (),
) -> Path:
    """Writes the card next to the file, or into the folder of these configurations, and returns its path.

    `samples` are those that are in the folder as they are stored.

    Raises:
        UsageError: there is a README.md that coterie did not write.
    """
    path = output / NAME if configs else output.with_name(NAME)
    if path.exists() and MADE_BY not in path.read_text(encoding="utf-8", errors="replace"):
        raise UsageError(
            f"{path} exists and is not a card written by coterie; it was not changed: export to another folder"
        )
    ids = {key for part in parts for key in part.chosen.sample_ids} | set(samples)
    teachers = []
    for name, model, count in teachers_of(connection, ids):
        known = config.teachers.get(name)
        teachers.append(
            CardTeacher(
                name=name, model=model, rows=count, allowed=known is not None and known.training_allowed
            )
        )
    tasks = list(dict.fromkeys(task for part in parts for task in part.tasks))
    card = Card(
        file=output.name,
        form=form,
        version=version("coterie"),
        parts=[_part(part) for part in parts],
        teachers=teachers,
        tasks=[
            CardTask(name=name, source=config.tasks[name].source, answer_format=config.tasks[name].answer)
            for name in tasks
        ],
        configs=configs,
        samples=len(samples),
        excluded=[name for name, teacher in config.teachers.items() if not teacher.training_allowed],
    )
    path.write_text(data_card(card), encoding="utf-8")
    return path


def _part(part: Part) -> CardPart:
    rows = part.chosen.rows
    return CardPart(
        student=part.student.name,
        scope=part.scope,
        method=part.student.method,
        label=part.labels,
        rows=len(rows),
        alone=sum(row.rationale is None for row in rows),
        questions=len({row.question_id for row in rows}),
        drops=part.chosen.drops,
        digest=digest_of(rows),
    )
