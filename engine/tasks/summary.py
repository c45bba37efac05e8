"""A task's questions in brief: what the daemon keeps of them once `state.db` has the questions themselves.

A million questions take most of a gigabyte as objects, so the daemon reads them from `state.db` when it needs them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from engine.question import SPLITS, Question
from engine.tasks.source import LoadedTask


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskSummary:
    """Counts and lengths of a task's questions.

    By split: `sizes` counts questions that are used, `longest` is the length of the longest in bytes, `golds` is the longest gold
    answer (empty if the questions were not read). `unreadable` questions are not used, because their gold answer cannot be
    read; `set_aside` of the training questions in the data are dev. `questions` is None if `state.db` has them already; the digest there
    is then the same as here.
    """

    digest: str
    sizes: dict[str, int]
    longest: dict[str, int]
    golds: dict[str, str] = field(default_factory=dict)
    stamp: str = ""
    notes: tuple[str, ...] = ()
    questions: tuple[Question, ...] | None = None
    unreadable: int = 0
    unreadable_questions: tuple[Question, ...] = ()
    set_aside: int = 0

    @property
    def split_line(self) -> str:
        """The sizes of the splits in words; says what was set aside as dev."""
        train, dev, test = (self.sizes.get(split, 0) for split in SPLITS)
        if not self.set_aside:
            return f"{train:,} train, {dev:,} dev, {test:,} test"
        verb = "is" if dev == 1 else "are"
        return f"{train + dev:,} train, of which {dev:,} {verb} set aside as dev (`dev = 0` keeps them), {test:,} test"

    @classmethod
    def of(cls, loaded: LoadedTask, stamp: str = "") -> TaskSummary:
        """The summary of a task that was read."""
        sizes: dict[str, int] = dict.fromkeys(SPLITS, 0)
        longest: dict[str, int] = dict.fromkeys(SPLITS, 0)
        golds: dict[str, str] = dict.fromkeys(SPLITS, "")
        for question in loaded.questions:
            golds[question.split] = max(golds[question.split], question.answer, key=len)
            sizes[question.split] += 1
            longest[question.split] = max(
                longest[question.split], len(question.text.encode("utf-8", "surrogatepass"))
            )
        return cls(
            digest=loaded.digest,
            sizes=sizes,
            longest=longest,
            golds=golds,
            stamp=stamp,
            notes=loaded.notes,
            questions=loaded.questions,
            unreadable=len(loaded.unreadable),
            unreadable_questions=loaded.unreadable,
            set_aside=loaded.set_aside,
        )

    def stored(self) -> TaskSummary:
        """The same without the questions, for when `state.db` has them."""
        return replace(self, questions=None, unreadable_questions=())
