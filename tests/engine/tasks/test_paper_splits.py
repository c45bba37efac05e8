"""Splits as in the paper: questions are dealt by lists, whatever the order of the source."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from daemon.__main__ import main
from engine.config.tasks import TaskConfig
from engine.errors import ConfigError, TaskDataError
from engine.question import Draft, Split
from engine.tasks import load_task
from engine.tasks.drafts import read_drafts
from engine.tasks.paper_splits import FILE, Listed, PaperSplit, deal, key_of, paper_splits
from engine.tasks.split_assignment import assign_splits

ALL: dict[Split, int | None] = {"train": None, "dev": None, "test": None}


def listed(texts: Sequence[str]) -> Listed:
    return Listed(len(texts), Counter(map(key_of, texts)))


def drafts(*texts: str, split: Split | None = None) -> list[Draft]:
    return [
        Draft(text=text, answer="1", key=f"k{at}", place=f"f:{at}", split=split)
        for at, text in enumerate(texts)
    ]


KEYS = ["84da7a63", "5ed96682", "1d6bc13f"]
TRAIN, TEST = [f"How much is {at} and 1?" for at in range(20)], ["How much is a half?", "Twice?", "Twice?"]
LISTED = PaperSplit(listed([*TRAIN, "Twice?"]), listed(TEST))


@pytest.mark.parametrize("task", list(paper_splits()))
def test_every_question_of_the_paper_is_dealt_as_in_the_paper(recorded: Path, task: str) -> None:
    given = {
        split: read_drafts(path)
        for split in ("train", "test")
        if (path := recorded / "tasks" / f"{task}.{split}.jsonl.gz").exists()
    }
    source = [draft for part in given.values() for draft in part]
    random.Random(task).shuffle(source)
    for dev, cap in (("train", 0), ("dev", None)):
        found = assign_splits(source, seed=3, caps=ALL | {"dev": cap}, paper=task)
        got = {
            split: [each for each in found.questions if each.split == split]
            for split in ("train", "dev", "test")
        }
        for split, ours in (("test", ["test"]), ("train", ["train", dev])):
            wanted = Counter((each.text, each.answer) for each in given.get(split, ()))
            assert Counter((each.text, each.answer) for name in set(ours) for each in got[name]) == wanted
        assert not {each.text_hash for each in got["dev"]} & {each.text_hash for each in got["train"]}
        assert not any("left out" in note or "not in this source" in note for note in found.notes)
    assert len(got["dev"]) == pytest.approx(len(given.get("train", ())) / 10, abs=1)


def test_the_lists_have_the_papers_sizes_and_are_small() -> None:
    splits = paper_splits()
    assert len(splits) == 12 and FILE.stat().st_size < 60_000
    for split in splits.values():
        assert split.test.keys is not None and split.test.keys.total() == split.test.size
        assert split.train.keys is None or split.train.keys.total() == split.train.size
    assert {name for name, split in splits.items() if split.train.keys is None} == {
        "gsm8k",
        "aqua",
        "commonsense_qa",
    }


def test_the_common_form_on_which_the_lists_rest_stays() -> None:
    """Another form makes every list worthless: write them again with `python -m bench.paper_splits`."""
    texts = [
        "Ann has 3 apples , and eats one .",
        "Which? Answer choices: (A) 3, (B) 1/2, (C) -2.5.",
        "½ of “x”?",
    ]
    assert [key_of(text).hex() for text in texts] == KEYS


def test_spelling_and_the_order_of_rows_make_no_difference_and_repeats_stay() -> None:
    source = drafts(*TRAIN, *TEST, "Twice?")
    source[3].text = "how  much is 3 , and 1 ?"
    chosen = {}
    for seed in range(4):
        random.Random(seed).shuffle(source)
        found = deal(source, "t", LISTED)
        chosen[seed] = {each.key: split for each, split in zip(source, found.chosen, strict=True)}
        assert found.notes == ["split as the paper's t: 21 train and 3 test questions"]
    assert chosen[0] == chosen[1] == chosen[2] == chosen[3]
    assert Counter(chosen[0].values()) == {"train": 21, "test": 3}


def test_what_is_not_the_papers_is_left_out_and_told() -> None:
    found = deal(drafts(*TRAIN[1:], "Another?", *TEST, "Twice?", "Twice?"), "t", LISTED)
    assert found.chosen[19] is None and found.chosen.count(None) == 2
    assert found.notes == [
        "split as the paper's t: 20 train and 3 test questions",
        "train: 1 of the paper's 21 questions are not in this source",
        "1 question is not among the paper's and left out, such as k19",
        "1 row dropped that repeat a question more often than the paper's data do",
    ]
    fewer = deal(drafts(*TRAIN, "Twice?", "Twice?"), "t", LISTED)
    assert fewer.chosen.count("test") == 2, "a question of both is test first"
    assert "test: 1 of the paper's 3 questions are not in this source" in fewer.notes[1]
    with pytest.raises(
        TaskDataError, match="none of the 3 test questions of the paper's t is in this source"
    ):
        deal(drafts("Another?"), "t", LISTED)


def test_without_a_list_for_train_the_data_sets_own_split_holds() -> None:
    without = PaperSplit(Listed(30, None), listed(TEST))
    source = [
        *drafts(*TRAIN, *TEST, split="train"),
        *drafts("Dev?", split="dev"),
        *drafts("Not public?", split="test"),
    ]
    found = deal([*source, *drafts(TRAIN[0], split="train")], "t", without)
    assert Counter(found.chosen) == {"train": 20, "test": 3, "dev": 1, None: 2}
    assert "train: the paper has 30 questions and this source 20" in found.notes[1]


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("mine", {}, "tasks.mine.paper_task: required, since neither the task's name nor its source is"),
        (
            "svamp",
            {"source": "builtin:coin_flip", "answer": "yes_no"},
            "tasks.svamp.split_by: a builtin task makes its",
        ),
    ],
)
def test_which_of_the_papers_tasks_it_is(
    tmp_path: Path, name: str, fields: dict[str, str], message: str
) -> None:
    (tmp_path / "a.jsonl").write_text('{"question": "Q?", "answer": "1"}\n')
    config = {"source": "a.jsonl", "answer": "number", "split_by": "paper"} | fields
    with pytest.raises(ConfigError, match=message):
        load_task(name, TaskConfig(**config), tmp_path)
    for given, paper in (("coin-flip", None), ("mine", "coin_flip")):
        named = {"source": "a.jsonl", "answer": "number", "split_by": "paper", "paper_task": paper}
        with pytest.raises(
            TaskDataError, match="of the 150 test questions of the paper's coin_flip is in this source"
        ):
            load_task(given, TaskConfig(**named), tmp_path)
    unknown = TaskConfig(source="a.jsonl", answer="number", split_by="paper", paper_task="svanp")
    with pytest.raises(
        ConfigError, match=r'tasks.mine.paper_task: unknown task "svanp"; did you mean "svamp"'
    ):
        load_task("mine", unknown, tmp_path)
    with pytest.raises(ValueError, match='paper_task needs split_by = "paper"'):
        TaskConfig(source="a.jsonl", answer="number", paper_task="svamp")


def test_check_says_what_a_source_lacks_before_anything_is_paid_for(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        draft
        for split in ("train", "test")
        for draft in read_drafts(recorded / "tasks" / f"addsub.{split}.jsonl.gz")
    ]
    kept = [
        {"question": row.text, "answer": row.answer} for row in [*rows[5:], Draft(text="Mine?", answer="4")]
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept[:-3] + kept[-1:]))
    (tmp_path / "config.toml").write_text(
        '[tasks.addsub]\nsource = "rows.jsonl"\nanswer = "number"\nsplit_by = "paper"\ndev = 0\n'
    )
    assert main(["check", "-c", str(tmp_path / "config.toml")]) == 0
    told = capsys.readouterr().out
    for said in (
        "task addsub: 271 train, 0 dev, 117 test",
        "test: 2 of the paper's 119 questions are not in this source, so accuracies are not on the paper's test set",
        "train: 5 of the paper's 276 questions are not in this source",
        "1 question is not among the paper's and left out, such as 389",
    ):
        assert said in told
