"""Questions of a builtin task: a pure function of seed, sizes and options.

Each split draws from a random stream of its own, test first, then dev, then train, and leaves out what an
earlier split holds. So a greater `train` changes no question that is already there, in any split; a greater
`test` or `dev` may take questions away from the splits after it. A question's key comes from its text: one
that stays keeps its key, so what was paid for it stays useful.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from engine.errors import ConfigError
from engine.tasks.builtin.interface import BuiltinTask
from engine.tasks.builtin.options import Value
from engine.tasks.question import Question, Split, text_hash

DEFAULT_SIZES: dict[Split, int] = {"train": 350, "dev": 50, "test": 150}
"""Sizes where the configuration gives none: the paper's coin flips, and a dev split."""


def generate(
    task: BuiltinTask, *, seed: int, sizes: Mapping[Split, int], options: Mapping[str, Value]
) -> tuple[Question, ...]:
    """The task's questions, train before dev before test; no text twice (`text_hash`).

    Raises:
        ConfigError: there are fewer distinct questions than asked for.
    """
    seen: set[str] = set()
    drawn: dict[Split, list[Question]] = {"train": [], "dev": [], "test": []}
    settings = ",".join(f"{name}={options[name]}" for name in sorted(options))
    splits: tuple[Split, ...] = ("test", "dev", "train")
    for split in splits:
        rng = random.Random(f"{task.name}|{settings}|{seed}|{split}")
        repeats = 0
        while len(drawn[split]) < sizes[split]:
            draft = task.draw(rng, options)
            identity = text_hash(draft.text)
            if identity in seen:
                repeats += 1
                # so many repeats in a row: with n texts left unseen of N the odds of this are (1 - n/N)^repeats
                if repeats > 1000 + 20 * len(seen):
                    raise ConfigError(_exhausted(task, sizes, len(seen), settings))
                continue
            repeats = 0
            seen.add(identity)
            key = f"{split}-{identity[:16]}"
            drawn[split].append(Question(key=key, text=draft.text, answer=draft.answer, split=split))
    return (*drawn["train"], *drawn["dev"], *drawn["test"])


def _exhausted(task: BuiltinTask, sizes: Mapping[Split, int], found: int, settings: str) -> str:
    asked = " + ".join(f"{split} {sizes[split]}" for split in ("train", "dev", "test"))
    return (
        f"builtin:{task.name} has only {found} distinct questions with {settings or 'its options'}, "
        f"but {sum(sizes.values())} are asked for ({asked}): ask for fewer, or widen its options"
    )
