"""`hf:` sources: the real library on small data sets in the hub's layouts."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.config.tasks import FieldsConfig, TaskConfig
from engine.errors import ConfigError, TaskDataError
from engine.tasks import LoadedTask, hub, load_task
from tests.lazily import Lazy

pa, pq = Lazy("pyarrow"), Lazy("pyarrow.parquet")

ROOT = Path(__file__).resolve().parents[3]
installed = pytest.mark.skipif(
    importlib.util.find_spec("datasets") is None,
    reason="the `datasets` library is not installed: pip install '.[data]'",
)
CARD = """---
configs:
- config_name: main
  data_files:
  - split: train
    path: main/train-*
  - split: test
    path: main/test-*
- config_name: other
  data_files:
  - split: train
    path: other/*.parquet
---
"""


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if "datasets" in sys.modules:  # its settings are read once, when it is imported
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
        monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def load(folder: Path, source: str, answer: str = "number", **fields) -> LoadedTask:
    return load_task(
        "mine", TaskConfig.model_validate({"source": source, "answer": answer, **fields}), folder
    )


def sum_of(i: int) -> dict[str, str]:
    return {
        "question": f"What is {i} + {i}?",
        "answer": f"Twice {i} is <<2*{i}={2 * i}>>{2 * i}.\n#### {2 * i}",
    }


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    """GSM8K's form: two configurations, shards, a card."""
    folder = tmp_path / "sums"
    for name, numbers in {
        "main/train-00000-of-00002": range(12),
        "main/train-00001-of-00002": range(12, 20),
        "main/test-00000-of-00001": range(20, 26),
        "other/train": range(3),
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist([sum_of(i) for i in numbers]), folder / f"{name}.parquet")
    (folder / "README.md").write_text(CARD)
    return tmp_path


@installed
def test_parquet_shards_with_a_card(sums: Path) -> None:
    task = load(sums, "hf:./sums:main")
    assert [sum(q.split == split for q in task.questions) for split in ("train", "dev", "test")] == [18, 2, 6]
    first = next(q for q in task.questions if q.text == "What is 3 + 3?")
    assert (first.answer, first.rationale, first.key) == ("6", "Twice 3 is <<2*3=6>>6.", "train-4")
    assert task.set_aside == 2


@installed
def test_one_split_is_divided_and_unnamed_splits_are_left_out(sums: Path) -> None:
    dealt = load(sums, "hf:./sums:other")
    assert any("70 % train and 30 % test" in note for note in dealt.notes)
    named = load(sums, "hf:./sums:main", splits={"test": "train"})
    assert {q.split for q in named.questions} == {"train", "dev"} and len(named.questions) == 6
    with pytest.raises(
        ConfigError, match=r"tasks.mine.splits.validation: .*no such split \(splits: train, test\)"
    ):
        load(sums, "hf:./sums:main", splits={"validation": "test"})


@installed
@pytest.mark.parametrize("form", ["jsonl", "csv", "json"])
def test_a_folder_of_text_files_by_their_names(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for split, numbers in {"train": range(20), "validation": range(20, 23), "test": range(30, 35)}.items():
        rows = [
            {"sQuestion": f"{i} and {i}?", "lSolutions": 2.0 * i if form == "csv" else [2.0 * i]}
            for i in numbers
        ]
        if form == "jsonl":
            text = "".join(json.dumps(row) + "\n" for row in rows)
        elif form == "json":
            text = json.dumps(rows)
        else:
            text = "sQuestion,lSolutions\n" + "".join(f"{r['sQuestion']},{r['lSolutions']}\n" for r in rows)
        (folder / f"{split}.{form}").write_text(text)
    task = load(tmp_path, "hf:./data")
    assert [sum(q.split == split for q in task.questions) for split in ("train", "dev", "test")] == [20, 3, 5]
    assert {(q.text, q.answer) for q in task.questions if q.split == "dev"} == {
        (f"{i} and {i}?", str(2 * i)) for i in range(20, 23)
    }


PROTO_QA = {"question": "question", "answer": "answer-clusters.answers.0.0", "id": "id"}
COMMON_GEN = {"question": "Write a sentence with these words: {concepts}.", "answer": "target"}


@installed
def test_commonsense_with_free_answers_in_the_forms_of_protoqa_and_commongen(tmp_path: Path) -> None:
    """As docs/method.md writes them: the first answer of the first cluster, and the first sentence of several for the same words."""
    (tmp_path / "proto").mkdir()
    (tmp_path / "gen").mkdir()
    asked = [
        {"id": f"r{i}", "normalized-question": "x", "question": f"Name something that {i} people share.", "totalcount": 100,
         "answer-clusters": {"count": [60, 40], "clusterid": ["0", "1"], "answers": [[f"a house {i}", "home"], ["food"]]}}
        for i in range(10)
    ]  # fmt: skip
    words = [
        {
            "concept_set_idx": i,
            "concepts": ["ski", f"mountain {i}", "fall"][: 2 + i % 2],
            "target": f"{who} skis {i}.",
        }
        for i in range(10)
        for who in ("She", "He", "One")
    ]
    pq.write_table(pa.Table.from_pylist(asked), tmp_path / "proto" / "train.parquet")
    pq.write_table(pa.Table.from_pylist(words), tmp_path / "gen" / "train.parquet")
    proto = load(tmp_path, "hf:./proto", answer="text", fields=PROTO_QA)
    assert ("r4", "Name something that 4 people share.", "a house 4") in {
        (q.key, q.text, q.answer) for q in proto.questions
    }
    gen = load(tmp_path, "hf:./gen", answer="text", fields=COMMON_GEN)
    assert {(q.text, q.answer) for q in gen.questions} >= {
        ("Write a sentence with these words: ski, mountain 4.", "She skis 4."),
        ("Write a sentence with these words: ski, mountain 5, fall.", "She skis 5."),
    }
    assert len(gen.questions) == 10
    with pytest.raises(TaskDataError, match=r"answer-clusters\.answers\.0\.0"):
        load(
            tmp_path, "hf:./proto", answer="text", fields={**PROTO_QA, "answer": "answer-clusters.answers.0"}
        )


@installed
def test_choices_in_the_form_of_commonsense_qa(tmp_path: Path) -> None:
    (tmp_path / "cqa").mkdir()
    rows = [
        {"id": f"r{i}", "question": f"Where is {i}?", "answerKey": "B",
         "choices": {"label": ["A", "B"], "text": [f"x{i}", f"y{i}"]}} for i in range(10)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "cqa" / "train.parquet")
    task = load(tmp_path, "hf:./cqa", answer="choice")
    assert ("r4", "Where is 4? Answer choices: (A) x4, (B) y4.", "B") in {
        (q.key, q.text, q.answer) for q in task.questions
    }
    pq.write_table(pa.Table.from_pylist(rows[:3]), tmp_path / "cqa" / "validation.parquet")
    pq.write_table(
        pa.Table.from_pylist([{**rows[9], "question": "Last?"}]), tmp_path / "cqa" / "test.parquet"
    )
    again = load(
        tmp_path, "hf:./cqa", answer="choice"
    )  # a set of this form, but not that one: by its splits' names
    assert [q.text[:5] for q in again.questions if q.split == "test"] == ["Last?"]
    with pytest.raises(ConfigError, match=r"answer: expected choice for hf:\./cqa"):
        load(tmp_path, "hf:./cqa", answer="number")


@installed
@pytest.mark.parametrize(
    ("source", "more", "message"),
    [
        ("hf:./nowhere", {}, "no such folder"),
        ("hf:./sums", {}, "Config name is missing.*main.*other"),
        ("hf:./sums:nope", {}, "'nope' not found"),
        ("hf:./sums:main", {"revision": "abc"}, "a local folder has no revision"),
        (
            "hf:./sums:main",
            {"fields": {"answer": "gold"}},
            r"no column \"gold\" \(columns: question, answer\)",
        ),
        ("hf:./sums:main", {"options": {"x": 1}}, "only builtin tasks have options"),
        ("hf:addsub", {}, r"published as a file.*\(sQuestion, lSolutions\)"),
        ("hf:nothing", {}, "or one of gsm8k, svamp"),
        ("hf:gsm8k", {"answer": "number"}, '"gsm8k" cannot be read: .*openai/gsm8k'),
    ],
)
def test_what_cannot_be_read_is_said(sums: Path, source: str, more: dict[str, object], message: str) -> None:
    with pytest.raises((ConfigError, TaskDataError), match=message):
        load(sums, source, **more)


@installed
def test_a_row_without_the_pattern_is_set_apart(sums: Path) -> None:
    (sums / "bad").mkdir()
    rows = [*(sum_of(number) for number in range(20)), {"question": "No answer?", "answer": "none"}]
    pq.write_table(pa.Table.from_pylist(rows), sums / "bad" / "train.parquet")
    task = load(sums, "hf:./bad")
    (apart,) = task.unreadable
    assert (apart.text, len(task.questions)) == ("No answer?", 20)
    assert "the pattern" in apart.unreadable and "does not match 'none'" in apart.unreadable
    assert any("1 of 21 gold answers cannot be read as number" in note for note in task.notes)


@installed
def test_a_data_set_that_nobody_described(tmp_path: Path) -> None:
    (tmp_path / "chats").mkdir()
    chats = [
        {
            "messages": [
                {"role": "user", "content": f"{n}?"},
                {"role": "assistant", "content": f"Yes.\n#### {n}"},
            ]
        }
        for n in range(9)
    ]
    (tmp_path / "chats" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in chats))
    assert {(q.text, q.answer, q.rationale) for q in load(tmp_path, "hf:./chats").questions} == {
        (f"{n}?", str(n), "Yes.") for n in range(9)
    }
    (tmp_path / "mmlu").mkdir()
    rows = [{"question": f"{n}?", "choices": ["x", "y", "z", "w"], "answer": n % 4} for n in range(9)]
    (tmp_path / "mmlu" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(TaskDataError, match='write `choices = "choices"`'):
        load(tmp_path, "hf:./mmlu", "choice")
    task = load(tmp_path, "hf:./mmlu", "choice", fields={"choices": "choices"})
    assert {q.answer for q in task.questions if q.text.startswith("2?")} == {"C"}


@installed
def test_reading_a_data_set_imports_no_training_library(sums: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from engine.config.tasks import TaskConfig; from engine.tasks import load_task\n"
        "assert 'datasets' not in sys.modules\n"
        "load_task('t', TaskConfig(source='hf:./sums:main', answer='number'), Path(sys.argv[1]))\n"
        "print(sorted({'torch', 'transformers', 'deepspeed', 'peft'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(sums)],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "[]\n"), ended.stderr


def test_without_the_library_the_error_says_how_to_install_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(hub.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"tasks.mine.source: .*not installed\. .*pip install .*\.\[data\]"):
        load(tmp_path, "hf:gsm8k")


def test_builtin_tasks_and_files_refuse_what_only_the_hub_has(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tasks.mine.revision: only for files and data sets"):
        load(tmp_path, "builtin:coin_flip", answer="yes_no", revision="x")
    with pytest.raises(ConfigError, match=r"tasks.mine.split_by: only for files and data sets"):
        load(tmp_path, "builtin:coin_flip", answer="yes_no", split_by="template")
    with pytest.raises(ConfigError, match=r"tasks.mine.splits: only for `hf:`"):
        load(tmp_path, "a.jsonl", splits={"a": "train"})
    with pytest.raises(ConfigError, match=r"tasks.mine.fields: only for files and data sets"):
        load(tmp_path, "builtin:coin_flip", answer="yes_no", fields=FieldsConfig().model_dump())
