"""The recipes of docs/schema.md on a database: DuckDB and pandas give the same table, and its columns are those there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.__main__ import main
from state.database import now_ms
from state.run_reports import Predictions, RunReport, report_run, store_predictions
from state.runs import RunSettings, create_run
from state.table_exports import PREDICTION_TYPES, TABLES
from tests.lazily import Lazy
from tests.state.test_runs import NEW, evaluation
from tests.state.world import World, make, question_rows

duckdb: Any = Lazy("duckdb")
pandas: Any = Lazy("pandas")

TEXT = (Path(__file__).parents[1] / "docs" / "schema.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```(sql|python)\n(.*?)```", re.DOTALL)
RECIPES = {
    title: dict(BLOCK.findall(body))
    for title, body in re.findall(r"^### (\d+\. .*?)\n(.*?)(?=^### |\Z)", TEXT, re.DOTALL | re.MULTILINE)
}
CONFIG = """
[state]
url = "sqlite:///state.db"
[teachers.a]
base_url = "http://127.0.0.1:1/v1"
model = "m"
[tasks.t]
source = "x.jsonl"
answer = "yes_no"
"""


def fill(world: World) -> None:
    """Two students of three seeds each, one of them trained twice."""
    world.task("t", [*question_rows(3), *question_rows(5, split="test", start=3)])
    names = [f"x.{method}.s{seed}" for method in ("cot", "plain") for seed in (0, 1, 2)]
    runs = [
        replace(NEW, student=name, trigger=str(place), sample_ids=(), settings=_settings(place))
        for place, name in enumerate([*names, names[0]])
    ]
    create_run(world.connection, runs)
    tests = [key for (key,) in world.rows("SELECT id FROM question WHERE split = 'test' ORDER BY id")]
    reports, predictions = [], []
    for run in range(1, len(runs) + 1):
        right = [(place * 7 + run) % 3 > 0 for place in range(len(tests))]
        metrics = tuple(
            (step, 10 + step, step / 4, 1 / (step + run), 1e-3, None, 100.0 * run, None, None)
            for step in range(1, 13)
        )
        evaluations = (
            *(evaluation(1, "dev", 5, 10, run), (*evaluation(1, "dev", 9, 10, 6)[:3], 2.0, 10, 6, 0.6, 0.0, 1.0, 3, 10, None, None, 0.9, 0.8, "[0.5, 0.6]")),
            evaluation(1, "test", 9, len(tests), sum(right)),
        )  # fmt: skip
        reports.append(
            RunReport(run_id=run, values={"state": "done"}, metrics=metrics, evaluations=evaluations)
        )
        rows = tuple(
            (key, "test", "text", "yes", int(hit), "") for key, hit in zip(tests, right, strict=True)
        )
        predictions.append(Predictions(run_id=run, rows=rows))
    report_run(world.connection, reports)
    store_predictions(world.connection, predictions)
    for place, level in enumerate(("info", "warning", "error", "warning")):
        world.connection.execute(
            "INSERT INTO event (at, level, kind, subject, message, data) VALUES (?, ?, ?, '', '', '{}')",
            (now_ms() - place * 40_000_000, level, f"Kind{place % 2}"),
        )


def _settings(place: int) -> RunSettings:
    return replace(NEW.settings, student={"training": {"learning_rate": 1e-3 * (place + 1)}})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "config.toml").write_text(CONFIG)
    world = make(folder / "state.db", questions=0)
    fill(world)
    world.connection.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for table in (*TABLES, "predictions"):
            assert main(["export", table, "--format", "parquet", "-o", f"{table}.parquet"]) == 0
        yield folder


def test_there_are_ten_recipes_each_in_both() -> None:
    assert [int(title.partition(".")[0]) for title in RECIPES] == list(range(1, 11))
    assert all(set(blocks) == {"sql", "python"} for blocks in RECIPES.values())


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_gives_the_same_in_duckdb_and_pandas(files: Path, title: str) -> None:
    cursor = duckdb.sql(RECIPES[title]["sql"])
    expected, columns = cursor.fetchall(), cursor.columns
    given: dict[str, Any] = {}
    exec(compile(RECIPES[title]["python"], title, "exec"), given)
    result = given["result"]
    assert list(result.columns) == columns and expected
    found = [tuple(row) for row in result.itertuples(index=False)]
    assert len(found) == len(expected)
    for row, wanted in zip(found, expected, strict=True):
        for value, other in zip(row, wanted, strict=True):
            if isinstance(other, float) or other is None:
                gone = other is None or other != other
                assert pandas.isna(value) if gone else value == pytest.approx(other)
            else:
                assert value == other


def test_the_columns_are_those_that_are_exported() -> None:
    found = {
        name: dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", body, re.MULTILINE))
        for name, body in re.findall(r"^### (\w+)\n(.*?)(?=^##)", TEXT, re.DOTALL | re.MULTILINE)
    }
    assert found == {**{name: table.types for name, table in TABLES.items()}, "predictions": PREDICTION_TYPES}
    for table in TABLES.values():
        for column in table.columns:
            assert f"| `{column.name}` | {column.type} | {column.about} |" in TEXT


def test_tables_without_rows_have_their_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text(CONFIG)
    make(tmp_path / "state.db", questions=0).connection.close()
    monkeypatch.chdir(tmp_path)
    for name, types in {
        **{each.name: each.types for each in TABLES.values()},
        "predictions": PREDICTION_TYPES,
    }.items():
        assert main(["export", name, "--format", "parquet", "-o", "empty.parquet"]) == 0
        assert list(pandas.read_parquet("empty.parquet").columns) == list(types)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("events", "--task", "t"), "--task: events belong to no task"),
        (("events", "--student", "s"), "--student: events belong to no student"),
        (("runs", "--format", "chat"), "--format chat is for training data"),
        (("metrics", "--format", "parquet"), "--format parquet needs a file"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    files: Path, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], says: str
) -> None:
    assert main(["export", *argv]) == 2
    assert says in capsys.readouterr().err


def test_rows_as_json_lines_are_the_same(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "runs", "--student", "x.cot.s0"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["run"] for row in rows] == [1, 7]
