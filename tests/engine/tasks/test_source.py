from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config.tasks import TaskConfig
from engine.errors import ConfigError, TaskDataError
from engine.tasks import LoadedTask, load_task
from engine.tasks.drafts import LONGEST_FIELD
from engine.tasks.row_files import LONGEST_LINE, read_rows
from tests.lazily import Lazy

pa, pq = Lazy("pyarrow"), Lazy("pyarrow.parquet")


def load(folder: Path, source: str, **fields) -> LoadedTask:
    return load_task("mine", TaskConfig(**{"source": source, "answer": "number", **fields}), folder)


def write(path: Path, rows: list[object]) -> str:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if path.name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path.name


def rows(count: int, **fields) -> list[object]:
    return [
        {"id": f"q{i}", "question": f"What is {i} + {i}?", "answer": str(2 * i), **fields}
        for i in range(count)
    ]


def sizes(task: LoadedTask) -> list[int]:
    return [sum(q.split == split for q in task.questions) for split in ("train", "dev", "test")]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_json_lines(tmp_path: Path, name: str) -> None:
    task = load(
        tmp_path,
        write(
            tmp_path / name,
            [{"id": "x", "question": "Why?", "answer": "4", "rationale": "Since.", "split": "test"}],
        ),
    )
    (q,) = task.questions
    assert (q.key, q.text, q.answer, q.rationale, q.split) == ("x", "Why?", "4", "Since.", "test")


def test_numbers_become_text_as_they_were_written(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"id": 7, "question": "a", "answer": 0.10, "split": "train"}\n{"question": "b", "answer": 12, "split": "test"}\n'
    )
    assert [(q.key, q.answer) for q in load(tmp_path, "a.jsonl").questions] == [("7", "0.10"), ("2", "12")]


def test_bom_and_crlf_are_accepted(tmp_path: Path) -> None:
    text = '\ufeff{"question": "a", "answer": "1", "split": "train"}\r\n\r\n{"question": "b", "answer": "2", "split": "test"}\r\n'
    (tmp_path / "a.jsonl").write_bytes(text.encode())
    assert [q.key for q in load(tmp_path, "a.jsonl").questions] == ["1", "3"]


def test_csv(tmp_path: Path) -> None:
    text = '\ufeffid,question,answer,split\r\na,"Two\r\nlines, one cell",4,train\r\nb,Next,5,test\r\n'
    (tmp_path / "a.csv").write_bytes(text.encode())
    first, second = load(tmp_path, "a.csv").questions
    assert (first.text, first.answer, first.rationale) == ("Two\r\nlines, one cell", "4", None)
    assert second.split == "test"


def test_parquet(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": [1, 2, 3],
            "question": ["a", "b", "c"],
            "answer": [4.0, 2.5, 7.0],
            "split": ["train", "train", "test"],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    assert [(q.key, q.answer) for q in load(tmp_path, "a.parquet", dev=0).questions] == [
        ("1", "4"),
        ("2", "2.5"),
        ("3", "7"),
    ]


GOOD = b'{"question": "a", "answer": "1"}\n'


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{oops}\n", "not valid JSON: Expecting property name"),
        (b'{"question": "a", "answer": NaN}\n', "not valid JSON: NaN is not a JSON number"),
        (b"[1]\n", "expected one JSON object on each line, got a list"),
        (b"3\n", "got a number"),
        (b"[" * 200_000 + b"\n", "nested too deeply"),
        (b'{"answer": "1"}\n', r"question: missing \(columns of the row: answer\)"),
        (b'{"question": "b"}\n', "answer: missing"),
        (b'{"question": 3, "answer": "1"}\n', "question: expected a string, got a number"),
        (b'{"question": "b", "answer": ["1", "2"]}\n', "answer: 2 accepted answers"),
        (b'{"question": "b", "answer": true}\n', "answer: true or false, but the task has `answer = \"number\"`"),
        (b'{"question": "b", "answer": null}\n', "answer: expected a string or a number, got null"),
        (b'{"question": " ", "answer": "1"}\n', "question: empty"),
        (b'{"question": "b", "answer": "1", "rationale": 5}\n', "rationale: expected a string"),
        (b'{"question": "b", "answer": "1", "split": "dve"}\n', "split: expected train, dev .or validation, valid, val. or test"),
        (b'{"question": "b", "answer": "1", "id": "1"}\n', "id: '1' is already used on line 1"),
        (b'{"question": "b", "answer": "1", "id": {}}\n', "id: expected a string or a number, got an object"),
        (b'{"question": "b\\u0000", "answer": "1"}\n', "question: contains a NUL character at character 2"),
        (b'{"question": "b", "answer": "\\ud800"}\n', r"answer: contains half a surrogate pair \(U\+D800\)"),
        (b'{"question": "b\xff", "answer": "1"}\n', "not UTF-8"),
        (b'{"question": "b", "answer": "' + b"1" * (LONGEST_FIELD + 1) + b'"}\n', "answer: longer than 1,000,000"),
        (b'{"question": "' + b"b" * LONGEST_LINE + b'"}\n', "longer than 8 MB"),
        (b'{"question": "b", "answer": "1", "split": "test"}\n', None),
    ],
    ids=range(22),
)  # fmt: skip
def test_a_bad_line_is_named(tmp_path: Path, line: bytes, reason: str | None) -> None:
    (tmp_path / "a.jsonl").write_bytes(GOOD + line)
    match = rf"a\.jsonl:2: .*{reason}" if reason else r"a\.jsonl:1: split: missing, but 1 other rows have one"
    with pytest.raises(TaskDataError, match=match):
        load(tmp_path, "a.jsonl")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.jsonl", b"", r"a\.jsonl: no questions"),
        ("a.jsonl.gz", b"no gzip", r"a\.jsonl\.gz:1: damaged gzip data"),
        ("a.jsonl.gz", gzip.compress(GOOD * 9000, mtime=0)[:-20], r"a\.jsonl\.gz:\d+: damaged gzip data"),
        (
            "a.csv",
            b"question,answr\na,1\n",
            r"a\.csv:1: no column 'answer' in the header \(columns: question, answr\)",
        ),
        ("a.csv", b"question,answer\na,1\nb\n", r"a\.csv:3: expected 2 cells, as in the header, got 1"),
        ("a.csv", b'question,answer\na,1\n"b,2\n', r"a\.csv:3: not valid CSV"),
        ("a.csv", b"question,answer\na,1\n,2\n", r"a\.csv:3: question: empty"),
        ("a.csv", b"question,answer\na,1\n\xff,2\n", r"a\.csv:3: not UTF-8"),
        ("a.csv", b"question,question,answer\n", r"a\.csv:1: the header has the column 'question' twice"),
        ("a.csv", b"question,answer\n", r"a\.csv: no questions"),
        ("a.parquet", b"PAR1 not really", r"a\.parquet: not a valid Parquet file"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TaskDataError, match=reason):
        load(tmp_path, name)


def test_bad_parquet_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"question": ["a"], "gold": ["b"]}), tmp_path / "a.parquet")
    with pytest.raises(TaskDataError, match=r"no column 'answer' \(columns: question, gold\)"):
        load(tmp_path, "a.parquet")
    pq.write_table(pa.table({"question": ["a", None], "answer": ["1", "2"]}), tmp_path / "b.parquet")
    with pytest.raises(TaskDataError, match=r"b\.parquet:2: question: missing"):
        load(tmp_path, "b.parquet")


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.parquet"])
def test_a_missing_file_and_a_folder_are_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(TaskDataError, match="no such file"):
        load(tmp_path, name)
    (tmp_path / name).mkdir()
    with pytest.raises(TaskDataError, match=r"cannot be read|not a (regular )?file"):
        load(tmp_path, name)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "data.txt",
            'tasks.mine.source: unknown source "data.txt"; expected builtin:NAME, hf:DATASET, or a file that ends with .jsonl',
        ),
        ("builtin:nothing", 'unknown builtin task "nothing"; expected one of: coin_flip'),
    ],
)
def test_an_unknown_source_is_named(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, source)


def test_options_are_for_builtin_tasks(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tasks\.mine\.options: only builtin tasks have options"):
        load(tmp_path, write(tmp_path / "a.jsonl", rows(3)), options={"people": 3})


def test_rows_without_splits_are_split_70_30_with_a_dev_split(tmp_path: Path) -> None:
    name = write(tmp_path / "a.jsonl", rows(100))
    task = load(tmp_path, name)
    assert sizes(task) == [63, 7, 30]
    assert any(note == "no splits in the data: 70 % train and 30 % test (seed 0)" for note in task.notes)
    other = load(tmp_path, name, seed=1)
    assert {q.key for q in other.questions if q.split == "test"} != {
        q.key for q in task.questions if q.split == "test"
    }


def test_the_splits_do_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    forward = load(tmp_path, write(tmp_path / "a.jsonl", rows(40)))
    backward = load(tmp_path, write(tmp_path / "b.jsonl", rows(40)[::-1]))
    assert set(forward.questions) == set(backward.questions)
    assert forward.digest != backward.digest


def test_rows_keep_their_splits_and_train_gives_a_dev_split(tmp_path: Path) -> None:
    name = write(
        tmp_path / "a.jsonl", [*rows(50, split="train"), {"question": "z", "answer": "1", "split": "test"}]
    )
    assert sizes(load(tmp_path, name)) == [45, 5, 1]
    assert sizes(load(tmp_path, name, dev=0)) == [50, 0, 1]
    assert sizes(load(tmp_path, name, dev=2)) == [48, 2, 1]


def test_a_dev_split_of_the_file_holds(tmp_path: Path) -> None:
    name = write(
        tmp_path / "a.jsonl", [*rows(20, split="train"), {"question": "z", "answer": "1", "split": "dev"}]
    )
    assert sizes(load(tmp_path, name)) == [20, 1, 0]


def test_a_larger_cap_only_adds(tmp_path: Path) -> None:
    name = write(tmp_path / "a.jsonl", rows(100))
    small, large, whole = (load(tmp_path, name, train=cap) for cap in (10, 20, None))
    assert sizes(small) == [10, 7, 30]
    assert set(small.questions) < set(large.questions) < set(whole.questions)
    assert [q for q in whole.questions if q in set(large.questions)] == list(large.questions)
    assert "train: 10 of 63 questions kept (seed 0)" in small.notes


def test_a_text_counts_once_and_test_keeps_it(tmp_path: Path) -> None:
    data = [
        {"question": "Same  THING", "answer": "1", "split": "train"},
        {"question": "same thing", "answer": "2", "split": "test"},
        {"question": "other", "answer": "1", "split": "train"},
        {"question": "Other", "answer": "1", "split": "train"},
        {"question": "third", "answer": "1", "split": "train"},
    ]
    task = load(tmp_path, write(tmp_path / "a.jsonl", data), dev=0)
    assert [(q.key, q.split) for q in task.questions] == [("3", "train"), ("5", "train"), ("2", "test")]
    assert task.notes == (
        "train: 1 repeated question dropped",
        "train: 1 question dropped, also in test",
        "1 dropped row had a different answer from the row that was kept",
    )


def test_equal_texts_stay_together(tmp_path: Path) -> None:
    data = [{"question": f"q {i % 10}", "answer": "1"} for i in range(30)]
    task = load(tmp_path, write(tmp_path / "a.jsonl", data))
    assert sizes(task) == [6, 1, 3]
    assert "train: 14 repeated questions dropped" in task.notes


def test_split_files(tmp_path: Path) -> None:
    write(tmp_path / "m.train.jsonl.gz", [{"question": f"t{i}", "answer": "1"} for i in range(3)])
    write(tmp_path / "m.test.jsonl.gz", [{"question": "z", "answer": "1", "split": "test"}])
    task = load(tmp_path, "m.{split}.jsonl.gz", dev=0)
    assert [(q.key, q.split) for q in task.questions] == [("train-1", "train"), ("train-2", "train"), ("train-3", "train"), ("test-1", "test")]  # fmt: skip


@pytest.mark.parametrize("name", ["validation", "valid", "val", "dev"])
def test_the_usual_names_of_dev(tmp_path: Path, name: str) -> None:
    write(tmp_path / "m.train.jsonl", [{"question": f"t{i}", "answer": "1"} for i in range(3)])
    write(tmp_path / f"m.{name}.jsonl", [{"question": "z", "answer": "1"}])
    task = load(tmp_path, "m.{split}.jsonl")
    assert (sizes(task), task.set_aside) == ([3, 1, 0], 0)
    own = [*rows(3, split="Train"), {"question": "z", "answer": "1", "split": name.upper()}]
    assert sizes(load(tmp_path, write(tmp_path / "a.jsonl", own))) == [3, 1, 0]


def test_two_files_for_dev_are_refused(tmp_path: Path) -> None:
    for name in ("train", "dev", "validation"):
        write(tmp_path / f"m.{name}.jsonl", [{"question": name, "answer": "1"}])
    with pytest.raises(TaskDataError, match=r"m\.dev\.jsonl and m\.validation\.jsonl would both be dev"):
        load(tmp_path, "m.{split}.jsonl")


def test_split_files_that_are_wrong_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        TaskDataError, match=r"none of these files exists in .*: m\.train\.jsonl, m\.dev\.jsonl, m\.test"
    ):
        load(tmp_path, "m.{split}.jsonl")
    write(tmp_path / "m.train.jsonl", rows(2))
    write(tmp_path / "m.test.jsonl", rows(2))
    with pytest.raises(
        TaskDataError, match=r"m\.test\.jsonl:1: id: 'q0' is already used in .*m\.train\.jsonl:1"
    ):
        load(tmp_path, "m.{split}.jsonl")
    write(tmp_path / "m.test.jsonl", [{"question": "z", "answer": "1", "split": "train"}])
    with pytest.raises(
        TaskDataError,
        match=r"m\.test\.jsonl:1: split: expected 'test', as in the file's name \(got 'train'\)",
    ):
        load(tmp_path, "m.{split}.jsonl")


def test_no_question_left_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TaskDataError, match="no questions left"):
        load(tmp_path, write(tmp_path / "a.jsonl", rows(5)), train=0, dev=0, test=0)


def test_the_digest_sees_every_field(tmp_path: Path) -> None:
    base = {"id": "i", "question": "q", "answer": "1", "rationale": "r", "split": "test"}
    changes = [{}, {"id": "j"}, {"question": "p"}, {"answer": "2"}, {"rationale": "s"}, {"split": "train"}]
    digests = {load(tmp_path, write(tmp_path / "a.jsonl", [base | change])).digest for change in changes}
    assert len(digests) == len(changes)


def test_the_papers_splits_load(recorded: Path) -> None:
    for name, form, train, test in (
        ("single_eq", "number", 356, 152),
        ("gsm8k", "number", 7473, 1319),
        ("commonsense_qa", "choice", 9741, 1221),
    ):
        task = load(recorded / "tasks", name + ".{split}.jsonl.gz", answer=form)
        assert not task.unreadable
        counts = sizes(task)
        assert (counts[0] + counts[1], counts[2]) == (train, test)
        assert counts[1] == round(train / 10)
    assert load(recorded / "tasks", "aqua.{split}.jsonl.gz", answer="choice").notes == ()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["a.jsonl", "a.csv", "a.jsonl.gz"]))
def test_no_bytes_break_the_reader(tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    try:
        for _ in read_rows(path):
            pass
    except TaskDataError as error:
        assert name in error.message
