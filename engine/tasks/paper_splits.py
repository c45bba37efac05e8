"""The splits of the paper's twelve tasks (Ho et al. 2023), as lists of hashes of their questions.

`paper_splits.json` has, for each task, the number of questions of train and test and the key of each of them: 4 bytes of a
blake2b of the question's common form (`engine.curation.identity`), in base64, sorted, repeated where the paper's data repeat a
question. So the order of the rows, spaces, punctuation and the order of options make no difference. `python -m
bench.paper_splits FOLDER` writes the file from the data and checks that no two questions of a task share a key.

gsm8k, commonsense_qa and aqua have no list for train: there the paper takes train and test as their authors publish them,
so what is not test is train, and a list of 17,214 keys would say nothing more. The paper trains on 10,000 of aqua's 97,467.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from engine.config.tasks import AnswerFormat
from engine.curation.identity import identity
from engine.errors import TaskDataError
from engine.question import Draft, Split, text_hash

FILE = Path(__file__).with_name("paper_splits.json")
KEY_BYTES = 4


@dataclass(frozen=True, slots=True)
class Listed:
    """One split of a task: the number of its questions, and how often each key is among them (None: there is no list)."""

    size: int
    keys: Counter[bytes] | None


@dataclass(frozen=True, slots=True)
class PaperSplit:
    """The splits of one of the paper's tasks, and the format of its answers."""

    train: Listed
    test: Listed
    answer: AnswerFormat = "text"


@dataclass(slots=True)
class Dealt:
    """The split of each draft (None: it is left out), and notes on what was found."""

    chosen: list[Split | None]
    notes: list[str] = field(default_factory=list)


def key_of(text: str) -> bytes:
    """The key of a question; equal for texts that are the same question."""
    form = identity(text).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(form, digest_size=KEY_BYTES).digest()


def encoded(texts: Sequence[str]) -> str:
    """The keys of some questions as the file has them."""
    return base64.b64encode(b"".join(sorted(map(key_of, texts)))).decode("ascii")


@cache
def paper_splits() -> dict[str, PaperSplit]:
    """The splits of the paper's tasks, by name."""
    tasks = json.loads(FILE.read_text(encoding="ascii"))["tasks"]
    return {
        name: PaperSplit(_listed(parts["train"]), _listed(parts["test"]), parts["answer"])
        for name, parts in tasks.items()
    }


def _listed(part: dict[str, int | str]) -> Listed:
    size, text = int(part["questions"]), part.get("keys")
    if text is None:
        return Listed(size, None)
    raw = base64.b64decode(str(text), validate=True)
    return Listed(size, Counter(raw[at : at + KEY_BYTES] for at in range(0, len(raw), KEY_BYTES)))


def has_papers_test(task: str, texts: Sequence[str]) -> bool:
    """Whether these are the test questions of one of the paper's tasks, each as often as there."""
    return paper_splits()[task].test.keys == Counter(map(key_of, texts))


def deal(drafts: Sequence[Draft], task: str, split: PaperSplit) -> Dealt:
    """Deals the questions of a source as the paper does.

    Splits that rows name count where train has no list, and among equal texts.

    Args:
        drafts: the questions, in any order.
        task: which of the paper's tasks it is, for notes.
        split: the splits of that task.

    Raises:
        TaskDataError: none of the paper's test questions is among them.
    """
    assert split.test.keys is not None
    left = {"test": split.test.keys.copy(), "train": (split.train.keys or Counter()).copy()}
    dealt = Dealt([None] * len(drafts))
    outside: list[Draft] = []
    repeated = 0
    seen: set[str] = set()  # texts of a train split without a list
    # Of equal texts, those that their rows call test are test first, and the same ones whatever the order of the rows.
    order = sorted(
        range(len(drafts)),
        key=lambda at: (drafts[at].split != "test", drafts[at].text, drafts[at].answer, drafts[at].key),
    )
    for at in order:
        draft, key = drafts[at], key_of(drafts[at].text)
        if left["test"][key] > 0:
            left["test"][key] -= 1
            dealt.chosen[at] = "test"
        elif left["train"][key] > 0:
            left["train"][key] -= 1
            dealt.chosen[at] = "train"
        elif key in split.test.keys or key in (split.train.keys or ()):
            repeated += 1
        elif split.train.keys is not None or draft.split == "test":
            outside.append(draft)
        elif text_hash(draft.text) in seen:
            repeated += 1
        else:
            seen.add(text_hash(draft.text))
            dealt.chosen[at] = draft.split or "train"
    counts = Counter(dealt.chosen)
    if not counts["test"]:
        raise TaskDataError(
            f"{drafts[0].place}: none of the {split.test.size:,} test questions of the paper's {task} is in this source"
            f' ({len(drafts):,} questions). Name the task it is (`paper_task`), or write `split_by = "question"`'
        )
    dealt.notes.append(
        f"split as the paper's {task}: {counts['train']:,} train and {counts['test']:,} test questions"
    )
    dealt.notes += _missing(task, split, counts)
    if outside:
        noun = "question is" if len(outside) == 1 else "questions are"
        dealt.notes.append(
            f"{len(outside):,} {noun} not among the paper's and left out, such as {outside[0].key or outside[0].place}"
        )
    if repeated:
        noun = "row" if repeated == 1 else "rows"
        dealt.notes.append(
            f"{repeated:,} {noun} dropped that repeat a question more often than the paper's data do"
        )
    return dealt


def _missing(task: str, split: PaperSplit, counts: Counter[Split | None]) -> list[str]:
    notes = []
    if lacking := split.test.size - counts["test"]:
        notes.append(
            f"test: {lacking:,} of the paper's {split.test.size:,} questions are not in this source, so accuracies are not"
            " on the paper's test set"
        )
    lacking = split.train.size - counts["train"]
    if split.train.keys is not None and lacking:
        notes.append(
            f"train: {lacking:,} of the paper's {split.train.size:,} questions are not in this source"
        )
    elif split.train.keys is None and lacking:
        notes.append(
            f"train: the paper has {split.train.size:,} questions and this source {counts['train']:,}; which of them are"
            " the paper's is not known, since there is no list"
        )
    return notes
