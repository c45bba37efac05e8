"""A procedural task, with everything the program asks about it in one object, and the generation of its splits.

Generation is a pure function of seed, sizes and options. Each split draws from a random stream of its own, test first,
then dev, then train, and skips what an earlier split holds. So a larger `train` changes no existing question in any split;
a larger `test` or `dev` may take questions from the splits after it. A question's key comes from its text: a question that
stays keeps its key and its samples.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from engine.config.tasks import AnswerFormat
from engine.errors import ConfigError
from engine.question import Draft, Exemplar, Question, Split, text_hash
from engine.tasks.procedural.options import TaskOptions
from engine.tasks.procedural.problem import FoundQuestion, Trace, trace
from engine.tasks.procedural.renderer import Renderer

Options = TypeVar("Options", bound=TaskOptions)

DEFAULT_SIZES: dict[Split, int] = {"train": 350, "dev": 50, "test": 150}
"""Sizes where the configuration gives none: the paper's coin flips, and a dev split."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProceduralTask(Generic[Options]):
    """A task whose questions are generated, and solved from their text alone.

    The generator is `draw`, the solver is `find` with the problem's own rules. The built-in teacher words its
    rationales with `renderer`; few-shot prompts show `exemplars`.
    """

    name: str
    """The name after `builtin:`. It seeds the generator, so a task that is renamed gets other questions."""

    options: type[Options]
    """The model of `[tasks.NAME.options]`."""

    formats: Callable[[Options], tuple[AnswerFormat, ...]]
    """The answer formats that fit the gold answers, the natural one first."""

    draw: Callable[[random.Random, Options], Draft]
    """Generates a question; it may repeat an earlier one."""

    find: Callable[[str], FoundQuestion | None]
    """The last question of this task in a text, or None."""

    renderer: Renderer
    """How a trace becomes a rationale, and how a rationale's answer is read."""

    exemplars: tuple[Exemplar, ...]
    """Worked examples. Their texts are part of what few-shot-cot sends, so a change buys its samples again."""

    exemplars_by_format: Mapping[AnswerFormat, tuple[Exemplar, ...]] = field(default_factory=dict)
    """Examples for answer formats whose questions read differently."""

    def solve(self, text: str) -> Trace[Any, Any] | None:
        """The correct steps and the answer of a question, from its text alone; None for another task's question."""
        found = self.find(text)
        return trace(found.problem) if found else None

    def exemplars_for(self, answer_format: AnswerFormat) -> tuple[Exemplar, ...]:
        """The worked examples that few-shot-cot shows for an answer format."""
        return self.exemplars_by_format.get(answer_format, self.exemplars)


def generate(
    task: ProceduralTask[Any], *, seed: int, sizes: Mapping[Split, int], options: TaskOptions
) -> tuple[Question, ...]:
    """The task's questions, train before dev before test; no text occurs twice (`text_hash`).

    Raises:
        ConfigError: there are fewer distinct questions than requested.
    """
    seen: set[str] = set()
    drawn: dict[Split, list[Question]] = {"train": [], "dev": [], "test": []}
    splits: tuple[Split, ...] = ("test", "dev", "train")
    for split in splits:
        rng = random.Random(f"{task.name}|{options.seed_text}|{seed}|{split}")
        repeats = 0
        while len(drawn[split]) < sizes[split]:
            draft = task.draw(rng, options)
            identity = text_hash(draft.text)
            if identity in seen:
                repeats += 1
                # If n of N texts are unseen, this many repeats in a row have the odds (1 - n/N)^repeats.
                if repeats > 1000 + 20 * len(seen):
                    raise ConfigError(_exhausted(task.name, sizes, len(seen), options))
                continue
            repeats = 0
            seen.add(identity)
            draft.key = f"{split}-{identity[:16]}"
            drawn[split].append(draft.question(split))
    return (*drawn["train"], *drawn["dev"], *drawn["test"])


def _exhausted(name: str, sizes: Mapping[Split, int], found: int, options: TaskOptions) -> str:
    parts = " + ".join(f"{split} {sizes[split]:,}" for split in ("train", "dev", "test"))
    return (
        f"builtin:{name} has only {found:,} distinct questions with {options.seed_text}, but "
        f"{sum(sizes.values()):,} are requested ({parts}): request fewer, or widen the options"
    )
