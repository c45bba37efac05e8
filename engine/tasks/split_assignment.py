"""Assigns the rows of a data set to train, dev and test.

Every choice follows one order, that of `blake2b(seed, text)`. So neither the order of the rows nor Python's hash seed
matters, and equal texts stay together.

1. If the rows name their split, that split holds. If no row names one, the first 30 % of the distinct texts in that order
   are test and the others train (the paper's 70/30). If only some rows name one, that is an error.
2. Each text is kept once: in test before dev before train, and there in its first row.
3. If no row is dev, the first 10 % of train in that order become dev (at least one if train has two). `dev` caps them;
   `dev = 0` turns this off.
4. With `by="template"` the splits that rows name are ignored, and steps 1 and 3 assign whole templates (`templates.py`)
   in place of texts, as many as fit into the share.
5. With `paper`, one of the paper's tasks, its lists decide between train and test (`paper_splits.py`) in place of steps 1
   and 2: questions that the paper's data repeat stay repeated. Step 3 makes dev, of whole texts.
6. `train`, `dev` and `test` cap each split to its first questions in that order; those that stay keep the order of the
   file. So a larger cap only adds questions.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from engine.errors import TaskDataError
from engine.question import SPLITS, Draft, Question, Split, text_hash
from engine.tasks.templates import templates

TEST_SHARE = 0.3
DEV_SHARE = 0.1
MOST_TEMPLATES = 0.8
"""Templates per question from which a split by template is as good as one by question."""


class AssignedQuestions(NamedTuple):
    """Questions, train before dev before test; notes on what was dropped or decided; how many of train are now dev."""

    questions: tuple[Question, ...]
    notes: tuple[str, ...]
    set_aside: int


def assign_splits(
    drafts: list[Draft],
    *,
    seed: int,
    caps: dict[Split, int | None],
    by: Literal["question", "template"] = "question",
    paper: str | None = None,
) -> AssignedQuestions:
    """The questions of a data set in their splits.

    Raises:
        TaskDataError: some rows name a split and others do not; there are too many templates, or only one; or no question
            is one of the paper's.
    """
    notes: list[str] = []
    hashes = [text_hash(draft.text) for draft in drafts]
    if paper is not None:
        return _as_in_paper(drafts, hashes, paper, seed=seed, caps=caps)
    if by == "template":
        return _by_template(drafts, hashes, seed=seed, caps=caps)
    without = [draft for draft in drafts if draft.split is None]
    if without and len(without) < len(drafts):
        raise TaskDataError(
            f"{without[0].place}: split: missing, but {len(drafts) - len(without):,} other rows have one; "
            "give every row a split, or none"
        )
    order = {text: _rank(seed, text) for text in hashes}
    chosen: list[Split] = [draft.split or "train" for draft in drafts]
    if without:
        distinct = sorted(order, key=order.__getitem__)
        test = set(distinct[: round(TEST_SHARE * len(distinct))])
        chosen = ["test" if text in test else "train" for text in hashes]
        notes.append(f"no splits in the data: 70 % train and 30 % test (seed {seed})")

    splits = _deduplicated(drafts, hashes, chosen, notes)
    set_aside = _set_aside(splits, hashes, order, caps["dev"])
    questions = _capped(drafts, hashes, splits, order, seed=seed, caps=caps, notes=notes)
    return AssignedQuestions(questions, tuple(notes), set_aside)


def _set_aside(
    splits: dict[Split, list[int]], hashes: list[str], order: Mapping[str, bytes], cap: int | None
) -> int:
    """Makes dev of the first questions of train, where there is none; returns how many. Equal texts stay together."""
    if splits["dev"] or cap == 0:
        return 0
    train = splits["train"]
    size = round(DEV_SHARE * len(train)) or int(len(train) > 1)
    size = size if cap is None else min(size, cap)
    count = Counter(hashes[index] for index in train)
    taken: set[str] = set()
    for text in sorted(count, key=order.__getitem__):
        if size >= count[text]:
            taken.add(text)
            size -= count[text]
        if not size:
            break
    splits["dev"] = [index for index in train if hashes[index] in taken]
    splits["train"] = [index for index in train if hashes[index] not in taken]
    return len(splits["dev"])


def _as_in_paper(
    drafts: list[Draft], hashes: list[str], task: str, *, seed: int, caps: dict[Split, int | None]
) -> AssignedQuestions:
    from engine.tasks.paper_splits import deal, paper_splits  # with what identities of questions need

    dealt = deal(drafts, task, paper_splits()[task])
    splits: dict[Split, list[int]] = {
        split: [index for index, own in enumerate(dealt.chosen) if own == split] for split in SPLITS
    }
    order = {text: _rank(seed, text) for text in hashes}
    set_aside = _set_aside(splits, hashes, order, caps["dev"])
    questions = _capped(drafts, hashes, splits, order, seed=seed, caps=caps, notes=dealt.notes)
    return AssignedQuestions(questions, tuple(dealt.notes), set_aside)


def _by_template(
    drafts: list[Draft], hashes: list[str], *, seed: int, caps: dict[Split, int | None]
) -> AssignedQuestions:
    units = dict(zip(hashes, templates([draft.text for draft in drafts]), strict=True))
    count = Counter(units.values())  # distinct texts of each template
    if len(count) < 2:
        raise TaskDataError(
            f'{drafts[0].place}: all questions share one template, so `split_by = "template"` cannot split them'
        )
    if len(count) > MOST_TEMPLATES * count.total():
        raise TaskDataError(
            f"{drafts[0].place}: {len(count):,} templates of {count.total():,} questions: a split by template would be as good as"
            ' random. Write `split_by = "question"`, or "paper" for the paper\'s own questions; files of `coterie import'
            " reasoning-teacher` have the paper's template split of date_understanding and multiarith in their rows"
        )
    ranked = sorted(count, key=lambda template: _rank(seed, template))
    test = _filled(ranked, count, TEST_SHARE)
    rest = [template for template in ranked if template not in test]
    dev = _filled(rest, count, DEV_SHARE) if caps["dev"] != 0 and len(rest) > 1 else set()
    assigned: dict[str, Split] = {**dict.fromkeys(test, "test"), **dict.fromkeys(dev, "dev")}
    notes = [
        f"split by template: {len(count):,} templates, of which test has {len(test):,} and dev {len(dev):,} (seed {seed})"
    ]
    if any(draft.split for draft in drafts):
        notes.append("the splits in the data were ignored")
    chosen: list[Split] = [assigned.get(units[text], "train") for text in hashes]
    order = {text: _rank(seed, text) for text in hashes}
    splits = _deduplicated(drafts, hashes, chosen, notes)
    questions = _capped(drafts, hashes, splits, order, seed=seed, caps=caps, notes=notes)
    return AssignedQuestions(questions, tuple(notes), sum(each.split == "dev" for each in questions))


def _filled(ranked: list[str], count: Mapping[str, int], share: float) -> set[str]:
    """The first templates that together fit into the share; at least one, and not all."""
    room = round(share * sum(count[template] for template in ranked))
    taken: set[str] = set()
    for template in ranked:
        if count[template] <= room:
            taken.add(template)
            room -= count[template]
    return taken or {min(ranked, key=count.__getitem__)}


def _capped(
    drafts: list[Draft],
    hashes: list[str],
    splits: dict[Split, list[int]],
    order: dict[str, bytes],
    *,
    seed: int,
    caps: dict[Split, int | None],
    notes: list[str],
) -> tuple[Question, ...]:
    """The questions of each split, at most `caps` of them."""
    questions = []
    for split in SPLITS:
        indices = splits[split]
        cap = caps[split]
        if cap is not None and cap < len(indices):
            kept = set(_first(indices, cap, hashes, order))
            notes.append(f"{split}: {cap:,} of {len(indices):,} questions kept (seed {seed})")
            indices = [index for index in indices if index in kept]
        questions += [drafts[index].question(split) for index in indices]
    return tuple(questions)


def _rank(seed: int, text: str) -> bytes:
    return hashlib.blake2b(f"{seed}|{text}".encode(), digest_size=16).digest()


def _first(indices: Iterable[int], size: int, hashes: list[str], order: dict[str, bytes]) -> list[int]:
    return sorted(indices, key=lambda index: order[hashes[index]])[:size]


def _deduplicated(
    drafts: list[Draft], hashes: list[str], chosen: list[Split], notes: list[str]
) -> dict[Split, list[int]]:
    """The rows of each split in the order of the file, each text once."""
    holder: dict[str, int] = {}
    repeats = dict.fromkeys(SPLITS, 0)
    shared = {("train", "test"): 0, ("dev", "test"): 0, ("train", "dev"): 0}
    other_answer = 0
    kept: dict[Split, list[int]] = {"train": [], "dev": [], "test": []}
    for split in ("test", "dev", "train"):
        for index, text in enumerate(hashes):
            if chosen[index] != split:
                continue
            first = holder.setdefault(text, index)
            if first == index:
                kept[split].append(index)
                continue
            other_answer += drafts[first].answer != drafts[index].answer
            if chosen[first] == split:
                repeats[split] += 1
            else:
                shared[(split, chosen[first])] += 1
    for split, count in repeats.items():
        if count:
            notes.append(f"{split}: {_count(count, 'repeated question')} dropped")
    for (split, other), count in shared.items():
        if count:
            notes.append(f"{split}: {_count(count, 'question')} dropped, also in {other}")
    if other_answer:
        notes.append(
            f"{_count(other_answer, 'dropped row')} had a different answer from the row that was kept"
        )
    return kept


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
