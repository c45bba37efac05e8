from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from daemon.catalog.sync import Input
from daemon.cli.check_bases import check_bases
from daemon.cli.finished_student import forbidding_teachers
from daemon.events import RunFailed
from daemon.training.edited_students import student_edits
from daemon.training.manifest import materialise
from engine.config import Config
from engine.errors import JobFailed
from engine.students.run import read_spec
from state.database import open_reader
from state.lineage import ancestors, sources_of
from state.results import read_results
from state.run_reports import RunReport, report_run
from state.runs import RunStart, run_by_id, start_run
from state.triggers import plan_counts
from tests.daemon.parts import active_plan, until
from tests.daemon.training.test_planner import accept, config, planning
from tests.state.test_results import evaluation
from tests.state.world import World, make, question_rows

pytestmark = pytest.mark.anyio
WARM = {"name": "warm", "scope": "joint", "train_at": [3], "tasks": ["t", "u"]}
CHILD = {"name": "child", "base": "student:warm", "train_at": [3]}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = make(tmp_path / "state.db", questions=10)
    found.task("u", question_rows(10))
    yield found
    found.connection.close()


def made(world: World, *students: dict[str, Any]) -> Config:
    return config(world, *(students or (CHILD, WARM)))


def end(world: World, run: int, state: str = "done", **values: Any) -> None:
    columns = {"state": state, "started_at": 1, "ended_at": 2, **values}
    marks = ", ".join(f"{name} = ?" for name in columns)
    world.connection.execute(f"UPDATE run SET {marks} WHERE id = ?", (*columns.values(), run))


def runs(world: World) -> list[tuple[Any, ...]]:
    return world.rows(
        "SELECT id, student, scope, state, (SELECT group_concat(source_id || role) FROM run_source WHERE run_id = run.id)"
        " FROM run ORDER BY id"
    )


async def test_a_student_follows_each_newer_student_that_it_starts_from(world: World) -> None:
    plan = active_plan(world)
    async with planning(world, made(world), [plan]) as bench:
        accept(world, plan, 3)
        await bench.look()
        assert runs(world) == [(1, "warm", "joint", "queued", None)], "its source comes first"
        with pytest.raises(ValueError, match=r"cannot start yet: run 1 \(warm on joint\) has not ended"):
            await bench.planner.train_now("t", "child", 7)
        end(world, 1)
        await bench.look()
        assert runs(world)[1:] == [(2, "child", "t", "queued", "1base")]
        await bench.look()
        end(world, 2)
        await bench.look()
        assert len(runs(world)) == 2, "one run for each student of its source"
        assert await bench.planner.train_now("t", None, 8) == "run 3 queued: warm on joint"
        await bench.look()
        assert len(runs(world)) == 3, "it waits for the newer one"
        end(world, 3)
        await bench.look()
        assert runs(world)[3] == (4, "child", "t", "queued", "3base")
        end(world, 4)
    tested = (evaluation(1, "test", 1, 2, 1),)
    report_run(world.connection, [RunReport(run_id=run, values={}, evaluations=tested) for run in (1, 2, 4)])
    found = {run.run_id: (run.superseded, run.warm_start) for run in read_results(world.connection).runs}
    assert found == {1: (False, None), 2: (True, 1), 4: (False, 3)}
    assert ancestors(world.connection, 4) == [3]
    # Another name of the source is the same source; other settings of it are not.
    renamed = made(world, {**CHILD, "base": "student:hot"}, {**WARM, "name": "hot"})
    async with planning(world, renamed, [plan]) as bench:
        await bench.look()
        assert [run[1] for run in runs(world)] == ["hot", "child", "hot", "child"]
    other = made(world, {**CHILD, "base": "student:hot"}, {**WARM, "name": "hot", "rationales": 1})
    async with planning(world, other, [plan]) as bench:
        await bench.look()
        assert runs(world)[4:] == [(5, "hot", "joint", "queued", None)], "not from the former one meanwhile"


async def test_what_an_edit_of_a_source_does_is_said_of_those_that_start_from_it(world: World) -> None:
    plan = active_plan(world)
    async with planning(world, made(world), [plan]) as bench:
        accept(world, plan, 3)
        for run in (1, 2):
            await bench.look()
            end(world, run)

    def said(*students: dict[str, Any]) -> list[str]:
        digests = dict(world.rows("SELECT name, digest FROM task"))
        tasks: Any = {name: SimpleNamespace(digest=digest) for name, digest in digests.items()}
        given = Input(tasks=tasks, keys={})
        counts = plan_counts(world.connection, [plan.id])
        return [edit.text for edit in student_edits(world.connection, made(world, *students), given, counts)]

    assert said() == []
    assert said({**CHILD, "base": "student:hot"}, {**WARM, "name": "hot"}) == [
        "run 1 of warm on joint is one of hot: nothing is trained again"
    ]
    former, follower = said(CHILD, {**WARM, "rationales": 1})
    assert "student warm on joint is another student now (rationales was 8 and is 1" in former
    assert follower == "student child on t is trained again once warm is, which it starts from"


async def test_a_source_that_failed_says_so_and_its_resumption_brings_the_others_back(world: World) -> None:
    plan = active_plan(world)
    grandchild = {"name": "grandchild", "base": "student:child", "train_at": [3]}
    async with planning(world, made(world, CHILD, WARM, grandchild), [plan]) as bench:
        accept(world, plan, 3)
        await bench.look()
        end(world, 1, "failed", error="out of disk")
        await bench.look()
        assert runs(world)[1] == (2, "child", "t", "queued", "1base")
        async with anyio.create_task_group() as group:
            await group.start(bench.trainer.serve)
            await until(lambda: len(bench.heard.of(RunFailed)) == 2)
            group.cancel_scope.cancel()
        first, second = (event.reason for event in bench.heard.of(RunFailed))
        assert first == (
            "its source, run 1 (warm on joint), failed (out of disk). `coterie train joint --student warm` starts that again,"
            " and this run follows"
        )
        assert second == f"its source, run 2 (child on t), has no student: {first}"
        assert await bench.planner.train_now("joint", "warm", 9) == "run 1 resumed: warm on joint"
        assert [run[3] for run in runs(world)] == ["queued", "queued", "queued"]
        row = run_by_id(world.connection, 2)
        assert row is not None and not row.sources[0].ended, "it waits again"


async def test_a_run_starts_from_the_student_of_its_source_or_says_that_it_is_gone(world: World) -> None:
    plan = active_plan(world)
    child = {**CHILD, "start_from": "previous"}
    chosen = made(world, child, {**WARM, "form": {"type": "plain"}})
    async with planning(world, chosen, [plan]) as bench:
        accept(world, plan, 3)
        await bench.look()
        end(world, 1)
        await bench.look()
    row = run_by_id(world.connection, 2)
    assert row is not None
    with pytest.raises(
        JobFailed, match=r"the student of run 1 \(warm on joint\), which this run starts from, is gone"
    ):
        materialise(world.connection, chosen, row)
    warm = run_by_id(world.connection, 1)
    assert warm is not None
    student = materialise(world.connection, chosen, warm) / "student"
    student.mkdir()
    spec = read_spec(materialise(world.connection, chosen, row))
    assert spec.form is not None and spec.form.type == "plain", "the form of its source"
    assert (spec.base, spec.started_from, spec.source, spec.epochs_before) == (str(student), 1, "warm", 0)
    assert row.base == "student:warm"
    # The next one goes on from its own student, and both are known as what it comes from.
    directory = materialise(world.connection, chosen, row)
    (directory / "student").mkdir()
    end(world, 2)
    async with planning(world, chosen, [plan]) as bench:
        assert "run 3 queued" in await bench.planner.train_now("t", "child", 5)
    third = run_by_id(world.connection, 3)
    assert third is not None
    spec = read_spec(materialise(world.connection, chosen, third))
    assert (spec.started_from, spec.source) == (2, None)
    begun = RunStart(
        run_id=3,
        directory="runs/3",
        device="cpu:0",
        pid=1,
        pid_started=1.0,
        boot_id=world.boot,
        tries=1,
        started_at=1,
    )
    start_run(world.connection, [replace(begun, previous=2)])
    start_run(world.connection, [replace(begun, previous=2, tries=2)])
    with closing(open_reader(world.path)) as connection:
        assert [(each.id, each.role) for each in sources_of(connection, 3)] == [(1, "base"), (2, "previous")]
        assert ancestors(connection, 3) == [1, 2]
        forbidden = config(world, child, WARM)
        assert forbidding_teachers(connection, forbidden, 3) == []
        without = forbidden.model_copy(update={"teachers": {}})
        assert forbidding_teachers(connection, without, 3) == ["a"]


def test_check_knows_what_a_student_starts_from(world: World) -> None:
    told: list[str] = []
    check_bases(made(world), Input(tasks={}, keys={}), [], told.append)
    assert told[0] == (
        "student child: the student warm, with its tokenizer: a decoder (Llama) of up to 56,160 weights"
    )
    assert [each for each in told if "its tokenizer is made from its rows" in each and "student warm" in each]
