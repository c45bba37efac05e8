from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from engine.config.tasks import TaskConfig
from engine.errors import TaskDataError
from engine.tasks import LoadedTask, load_task
from engine.tasks.templates import templates


def load(folder: Path, rows: list[dict[str, str]], **fields) -> LoadedTask:
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_task(
        "t", TaskConfig(source="a.jsonl", answer="number", split_by="template", **fields), folder
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "Tom has 3 apples. He eats two. How many has Tom?",
            "Mary has 12 apples. She eats five. How many has Mary?",
        ),
        ("Yesterday was April 30, 2021.", "Yesterday was March 1, 1999."),
        ('Take "Tj Ann" and put it.', 'Take "Bob Lee Joe" and put it.'),
        ("Is Mary Ann Smith's bag red?", "Is Bob's bag red?"),
        ("Which? Answer choices: (A) 3, (B) 4.", "Which? Answer choices: (A) cat, (B) dog, (C) fish."),
        ("It costs $1,234.50 now.", "It costs $7 now."),
    ],
)
def test_the_same_template(one: str, other: str) -> None:
    first, second = templates([one, other])
    assert first == second


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Tom has 3 apples.", "Tom has 3 pears."),
        ("Tom flips the coin.", "Tom does not flip the coin."),
        ("How many apples has Tom?", "When has Tom apples?"),
    ],
)
def test_different_templates(one: str, other: str) -> None:
    first, second = templates([one, other])
    assert first != second


def rows(count: int = 60, kinds: int = 12) -> list[dict[str, str]]:
    things = ["apple", "pear", "coin", "book", "stone", "shell", "pen", "hat", "cup", "ball", "leaf", "card"]
    return [
        {"question": f"Tom has {i} {things[i % kinds]}s and finds one more. How many?", "answer": str(i + 1),
         "split": "train"} for i in range(count)
    ]  # fmt: skip


def test_questions_of_a_template_stay_in_one_split(tmp_path: Path) -> None:
    task = load(tmp_path, rows())
    places: dict[str, set[str]] = {}
    for question, template in zip(task.questions, templates([q.text for q in task.questions]), strict=True):
        places.setdefault(template, set()).add(question.split)
    assert len(places) == 12 and all(len(splits) == 1 for splits in places.values())
    assert [sum(q.split == split for q in task.questions) for split in ("train", "dev", "test")] == [
        40,
        5,
        15,
    ]
    assert task.notes[:2] == (
        "split by template: 12 templates, of which test has 3 and dev 1 (seed 0)",
        "the splits in the data were ignored",
    )


def test_only_the_seed_decides(tmp_path: Path) -> None:
    def splits(given: list[dict[str, str]], **fields) -> dict[str, str]:
        return {q.text: q.split for q in load(tmp_path, given, **fields).questions}

    assert splits(rows()) == splits(rows()[::-1])
    assert splits(rows()) != splits(rows(), seed=1)


def test_one_template_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(TaskDataError, match="all questions share one template"):
        load(tmp_path, rows(kinds=1))


def test_a_split_by_template_that_would_be_random_is_refused(tmp_path: Path, recorded: Path) -> None:
    """The two figures are those of the data; a task with fewer templates than questions is split."""
    texts = [
        {"question": json.loads(line)["question"], "answer": "1"}
        for split in ("train", "test")
        for line in gzip.open(
            recorded / "tasks" / f"date_understanding.{split}.jsonl.gz", "rt", encoding="utf-8"
        )
    ]
    with pytest.raises(TaskDataError, match=r"351 templates of 369 questions: .* as good as random. Write"):
        load(tmp_path, texts)
    assert load(tmp_path, rows(count=15)).notes[0].startswith("split by template: 12 templates")
    with pytest.raises(TaskDataError, match="12 templates of 14 questions"):
        load(tmp_path, rows(count=14))


@pytest.mark.parametrize(
    ("task", "count"),
    [("multiarith", (120, 135)), ("coin_flip", (20, 26)), ("last_letter_concatenation", (1, 1))],
)
def test_templates_of_the_papers_tasks(recorded: Path, task: str, count: tuple[int, int]) -> None:
    texts = [
        json.loads(line)["question"]
        for split in ("train", "test")
        for line in gzip.open(recorded / "tasks" / f"{task}.{split}.jsonl.gz", "rt", encoding="utf-8")
    ]
    assert count[0] <= len(set(templates(texts))) <= count[1]
