"""`coterie export` on a real file: what is written, what is left out, and what is said about it."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.__main__ import main
from state.enums import Outcome
from state.outcomes import SampleEnd, SampleState, Verdict
from state.run_reports import Predictions, store_predictions
from state.runs import create_run
from tests.daemon.parts import owned
from tests.daemon.site import ENV
from tests.daemon.training.test_manifest import OLD_SPEC
from tests.engine.forms.families import make_tokenizer
from tests.forked import Forked
from tests.lazily import Lazy
from tests.state.test_runs import NEW
from tests.state.world import World, ending, make, question_row, stored

pq = Lazy("pyarrow.parquet")

CONFIG = """
[state]
url = "sqlite:///state.db"
[teachers.a]
base_url = "http://127.0.0.1:1/v1"
model = "now"
[teachers.b]
base_url = "http://127.0.0.1:1/v1"
model = "now"
training_allowed = false
[tasks.t]
source = "x.jsonl"
answer = "yes_no"
[tasks.u]
source = "x.jsonl"
answer = "yes_no"
[[students]]
name = "answers"
method = "fine-tune"
tasks = ["t"]
[[students]]
name = "reasons"
tasks = ["t"]
plans = ["p"]
[[plans]]
name = "p"
teachers = ["a", "b"]
"""
HOSTILE = "=HYPERLINK(1)\x1b[2J \x9b31m \u202e end"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two tasks; the third training question of `t` is a test question of `u` in another spelling."""
    (tmp_path / "config.toml").write_text(CONFIG)
    found = make(tmp_path / "state.db", questions=0)
    found.teacher("gone")
    splits = {"red": "train", "blue": "train", "Is it  GREEN": "train", "dev": "dev", "test": "test"}
    found.task("t", [question_row(f"key/{text}", f"{text}?", split=split) for text, split in splits.items()])
    found.task("u", [question_row("key/green", "is it green ?", split="test")])
    yield found
    found.connection.close()


def answer(
    world: World, plan: int, count: int = 1, *, teacher: str = "a", model: str = "m-1", flags: tuple[str, ...] = (),
    correct: bool = True, finish: str = "stop", rationale: str = "because",
) -> None:  # fmt: skip
    end = SampleEnd(
        state=SampleState.STORED,
        rationale=rationale,
        answer="yes",
        flags=flags,
        verdict=Verdict(grader="g:1", correct=correct, extracted="yes", reason=""),
    )
    body = json.dumps({"model": model}).encode()
    for sample in world.claim(plan, count, teacher=teacher).samples:
        world.record(stored(sample, end=end, raw=body, finish_reason=finish))


@pytest.fixture
def export(world: World, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[list[Any], list[str]]]:
    def run(*argv: str) -> tuple[list[Any], list[str]]:
        assert main(["export", *argv, "-c", str(world.path.with_name("config.toml"))]) == 0
        said = capsys.readouterr()
        return [json.loads(line) for line in said.out.splitlines()], said.err.splitlines()

    return run


def test_a_training_set_in_the_form_of_its_students(world: World, export: Any) -> None:
    folder = world.path.parent
    make_tokenizer("qwen3").save_pretrained(folder / "chat")
    (folder / "chat" / "config.json").write_text("{}")
    with (folder / "config.toml").open("a") as config:
        config.write(
            '[[students]]\nname = "thinker"\ntasks = ["t"]\nbase = "./chat"\nform = { type = "chat", system = "Be brief." }\n'
            '[[students]]\nname = "default"\ntasks = ["t"]\nbase = "./chat"\n'
            '[[students]]\nname = "far"\ntasks = ["t"]\nbase = "nobody/nothing"\n'
        )
    answer(world, world.plan())

    def first(student: str) -> dict[str, Any]:
        row = export("dataset", "--format", "sft", "--student", student)[0][0]
        assert (row["question_id"], row["student"]) == ("key/red", student)
        return row

    plain = first("reasons")
    assert (plain["prompt"], plain["completion"]) == ("red? ###", " because --> yes END")
    user = {"role": "user", "content": "red?"}
    said = {"role": "assistant", "content": "yes", "reasoning_content": "because"}
    assert first("default")["messages"] == [user, said]
    assert first("thinker")["messages"] == [{"role": "system", "content": "Be brief."}, user, said]
    [key] = create_run(world.connection, [replace(NEW, student="default", sample_ids=())])
    world.connection.commit()
    (folder / "runs" / str(key)).mkdir(parents=True)
    directory = owned(world.connection, folder / "runs" / str(key))
    (directory / "spec.json").write_text(json.dumps(OLD_SPEC))  # from before there were forms
    assert first("default")["prompt"] == "red? ###"
    assert (
        main(["export", "dataset", "--format", "sft", "--student", "far", "-c", str(folder / "config.toml")])
        == 2
    )


def of_every_kind(world: World) -> None:
    train, test, dev = (
        world.plan(split, split=split, rationales=9, recipe=split) for split in ("train", "test", "dev")
    )
    answer(world, train)  # red
    answer(world, train, teacher="b")  # blue
    answer(world, train)  # green
    answer(world, train, teacher="gone")
    answer(world, train, finish="length")
    answer(world, train)
    answer(world, train, correct=False)
    answer(world, train, flags=("hinted",))
    answer(world, train, 2)
    answer(world, test, 2)
    answer(world, dev)


LEFT_OUT = {
    "test": "2 of test questions",
    "dev": "1 of dev questions",
    "overlap": "3 of training questions that are also in dev or test",
    "forbidden": "2 by teachers whose terms forbid training, or that are not in config.toml",
    "truncated": "1 truncated",
}


@pytest.mark.parametrize("form", ["openai-chat", "chat", "think"])
def test_training_data_leaves_out_what_may_not_be_trained_on_and_says_so(
    world: World, export: Any, form: str
) -> None:
    of_every_kind(world)
    rows, said = export("samples", "--format", form)
    expected = {f"left out: {text} (--include {name})" for name, text in LEFT_OUT.items()}
    expected |= {"left out: 1 wrong or not graded", "left out: 1 made with the answer as a hint"}
    assert set(said) == {*expected, f"{len(rows)} rows"}
    everything, _ = export("samples")
    counts = sum(int(line.split()[2]) for line in said[:-1])
    assert len(rows) + counts == len(everything) == 13
    if form != "openai-chat":
        assert {(row["split"], row["teacher"]) for row in rows} == {("train", "a")}
        assert {row["question_id"] for row in rows} <= {"key/red", "key/blue"}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_each_kind_can_be_included(world: World, export: Any, name: str) -> None:
    of_every_kind(world)
    without, _ = export("samples", "--format", "chat")
    rows, said = export("samples", "--format", "chat", "--include", name)
    assert len(rows) - len(without) == int(LEFT_OUT[name].split()[0])
    assert not any(f"--include {name}" in line for line in said)
    more = {row["sample_id"] for row in rows} - {row["sample_id"] for row in without}
    kinds = {row["split"] for row in rows if row["sample_id"] in more}
    assert kinds == ({name} if name in ("dev", "test") else {"train"})


def test_the_test_questions_of_other_tasks_do_not_count_for_one_task_alone(world: World, export: Any) -> None:
    answer(world, world.plan(), 3)
    assert len(export("samples", "--format", "chat")[0]) == 2
    assert len(export("samples", "--format", "chat", "--task", "t")[0]) == 3


def test_all_samples_are_in_the_other_formats_and_unfinished_ones_are_told(world: World, export: Any) -> None:
    of_every_kind(world)
    plan = world.plan("more", recipe="more")
    claimed = world.claim(plan, 3).samples
    end = SampleEnd(state=SampleState.FAILED, reason="refused")
    world.record(ending(claimed[0], Outcome.PERMANENT, end=end))
    rows, said = export("samples")
    assert len(rows) == 13
    assert said == ["left out: 1 given up", "left out: 2 not finished", "13 rows"]


def test_the_model_is_the_one_that_wrote_a_sample_wherever_it_is_named(
    world: World, export: Any, tmp_path: Path
) -> None:
    plan = world.plan(rationales=4)
    answer(world, plan, 2, model="m-1")
    answer(world, plan, 2, model="m-2")
    assert [row["model"] for row in export("samples")[0]] == ["m-1", "m-1", "m-2", "m-2"]
    rows, _ = export("dataset", "--student", "reasons", "--card", "-o", str(tmp_path / "rows.jsonl"))
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert {(row["teacher"], row["model"]) for row in rows} == {("a (m-1)", "m-1"), ("a (m-2)", "m-2")}
    card = (tmp_path / "README.md").read_text()
    assert "| a | m-1 |" in card and "| a | m-2 |" in card and "now" not in card
    chat, _ = export("samples", "--format", "chat", "--task", "t")
    assert {row["model"] for row in chat} == {"m-1", "m-2"}


def test_every_export_calls_a_question_by_the_id_that_the_user_gave_it(
    world: World, export: Any, tmp_path: Path
) -> None:
    answer(world, world.plan(), 3)
    (run,) = create_run(world.connection, [NEW])
    store_predictions(
        world.connection, [Predictions(run_id=run or 0, rows=((1, "test", "x", "yes", 1, ""),))]
    )
    for what in ("samples", "dataset", "predictions"):
        rows, _ = export(what)
        assert rows and all(row["question_id"].startswith("key/") for row in rows), what
        assert all(row["task"] == "t" for row in rows), what
    rows, _ = export("dataset", "--student", "answers")
    assert [(row["question_id"], row["split"], row["sample_id"]) for row in rows] == [
        ("key/red", "train", None),
        ("key/blue", "train", None),
        ("key/Is it  GREEN", "train", None),
    ]
    assert export("dataset", "--student", "answers", "--format", "chat")[0][0]["question_id"] == "key/red"
    assert main(["export", "dataset", "--format", "parquet", "-o", str(tmp_path / "a.parquet"),
                 "-c", str(world.path.with_name("config.toml"))]) == 0  # fmt: skip
    assert pq.read_table(tmp_path / "a.parquet").column("question_id").to_pylist()[:1] == ["key/red"]


def test_what_curation_drops_from_a_dataset_is_said(world: World, export: Any) -> None:
    answer(world, world.plan(), 1)
    answer(world, world.plan(), 1, correct=False)
    _, said = export("dataset", "--student", "reasons")
    assert said == ["left out: 1 of reasons on t: wrong answer", "1 rows"]


def test_a_csv_has_the_same_rows_and_no_formula(world: World, export: Any, tmp_path: Path) -> None:
    answer(world, world.plan(), 1, rationale=HOSTILE)
    answer(world, world.plan(), 1, rationale="-3")
    rows, _ = export("samples")
    path = tmp_path / "rows.csv"
    export("samples", "--format", "csv", "-o", str(path))
    with path.open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert [row["rationale"] for row in found] == ["'" + HOSTILE, "-3"]
    assert [row["question_id"] for row in found] == [row["question_id"] for row in rows]
    assert [list(row) for row in found] == [list(row) for row in rows]


@pytest.mark.parametrize("form", ["jsonl", "csv", "chat"])
def test_nothing_that_a_terminal_would_obey_is_written_to_one(
    world: World, tmp_path: Path, form: str
) -> None:
    answer(world, world.plan(), 1, rationale=HOSTILE)
    shown = on_a_terminal(tmp_path, "export", "samples", "--format", form)
    assert "end" in shown and not {"\x1b", "\x9b", "\u202e"} & set(shown)
    if form != "csv":
        row = json.loads(next(line for line in shown.split("\r\n") if line.startswith("{")))
        text = row["rationale"] if form == "jsonl" else row["messages"][1]["content"]
        assert text.startswith(HOSTILE), "the values are the same"


def on_a_terminal(folder: Path, *argv: str) -> str:
    """What a command writes to a terminal."""
    ours, terminal = os.openpty()
    with open(os.devnull, "r+b") as nothing:
        descriptors = {"stdin": nothing.fileno(), "stdout": terminal, "stderr": nothing.fileno()}
        process = Forked("daemon", argv, cwd=folder, env=ENV, **descriptors)
    os.close(terminal)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # the end of the terminal
        pass
    os.close(ours)
    assert process.wait(timeout=60) == 0, shown
    return shown.decode()


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("samples", "--include", "test"), "--include is for samples as training data"),
        (("dataset", "--format", "chat", "--include", "test"), "--include is for samples as training data"),
        (("samples", "--student", "s"), "--student is for dataset and predictions"),
    ],
)
def test_options_without_an_effect_are_refused(
    world: World, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], says: str
) -> None:
    assert main(["export", *argv, "-c", str(world.path.with_name("config.toml"))]) == 2
    assert says in capsys.readouterr().err
