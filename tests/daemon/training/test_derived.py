"""Runs of derived students: when they are made, what is in their directories, and what is refused before they start."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from daemon.events import EvaluatedAgain, RunFailed, RunNoted
from daemon.training.derived import materialise_derived
from daemon.training.manifest import materialise
from daemon.training.progress_reader import follow
from engine.config import Config
from engine.errors import JobFailed
from engine.students.progress_file import ProgressWriter
from engine.students.run import check_owner, read_spec
from state.run_reports import report_run
from state.runs import run_by_id
from state.views.runs import run_detail
from tests.daemon.parts import active_plan, config_of, until
from tests.daemon.training.test_lineage import end, runs
from tests.daemon.training.test_planner import accept, planning
from tests.state.world import World, make, question_rows

pytestmark = pytest.mark.anyio
NANO = {"train_at": [3], "tasks": ["t"], "plans": ["p"]}
WARM = {"name": "warm", **NANO}
SEEDS = [{"name": f"s{seed}", "base": "student:warm", "training": {"seed": seed}, **NANO} for seed in (1, 2)]
FIVE = {"name": "five", "make": "ensemble", "of": ["s*"]}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = make(tmp_path / "state.db", questions=10)
    found.task("t", [*question_rows(10), *question_rows(2, split="test", start=10)])
    yield found
    found.connection.close()


def made(world: World, *derived: dict[str, Any], students: list[dict[str, Any]] | None = None) -> Config:
    return config_of(
        world.path.parent,
        teachers={"a": {"builtin": True, "model": "m"}},
        tasks={"t": {"source": "x.jsonl", "answer": "yes_no"}},
        plans=[{"name": "p"}],
        students=[WARM, *SEEDS] if students is None else students,
        derived=list(derived or [FIVE]),
    )


def student(world: World, config: Config, run: int, tokenizer: str = "one") -> Path:
    """An exported student of a run, as far as files without weights tell."""
    row = run_by_id(world.connection, run)
    assert row is not None
    write = materialise if row.kind == "train" else materialise_derived
    directory = write(world.connection, config, row) / "student"
    directory.mkdir()
    (directory / "tokenizer.json").write_text(json.dumps({"model": tokenizer, "padding": run}))
    (directory / "config.json").write_text(json.dumps({"vocab_size": 9, "_name_or_path": str(run)}))
    return directory


async def test_a_derived_student_follows_all_that_it_is_made_from(world: World) -> None:
    plan = active_plan(world)
    config = made(world)
    async with planning(world, config, [plan]) as bench:
        await bench.look()
        waits = {"s1 on t": "warm on t", "s2 on t": "warm on t", "five on t": "s1 on t"}
        assert bench.planner.waits == waits, "nobody has a run yet"
        accept(world, plan, 3)
        await bench.look()
        await bench.look()
        assert bench.planner.waits == waits, "the first one is on its way"
        end(world, 1)
        await bench.look()
        assert [run[1] for run in runs(world)] == ["warm", "s1", "s2"]
        end(world, 2)
        await bench.look()
        assert len(runs(world)) == 3, "one of them has not ended"
        assert bench.planner.waits == {"five on t": "s2 on t"}
        end(world, 3)
        await bench.look()
        assert bench.planner.waits == {}
        assert runs(world)[3] == (4, "five", "t", "queued", "2member,3member")
        await bench.look()
        assert len(runs(world)) == 4
        for run in (1, 2, 3):
            student(world, config, run)
        row = run_by_id(world.connection, 4)
        assert row is not None and row.kind == "ensemble"
        directory = materialise_derived(world.connection, config, row)
        assert materialise_derived(world.connection, config, row) == directory
        spec = read_spec(directory)
        check_owner(directory, spec)
        assert [(each.run_id, each.ancestors, each.base) for each in spec.sources] == [
            (2, (1,), "builtin:nano"),
            (3, (1,), "builtin:nano"),
        ]
        assert (spec.method, spec.kind, spec.operation["combine"]) == ("fine-tune-cot", "ensemble", "logits")
        assert len((directory / "questions.jsonl").read_text().splitlines()) == 2
        writer = ProgressWriter(directory / "progress.jsonl")
        writer.write("phase", phase="making")
        writer.write("made", parameters=7, device="cpu", figures={"members": 2})
        writer.close()
        found = follow(4, directory, 0, {})
        assert found is not None and found.report.values["state"] == "training"
        report_run(world.connection, [found.report])
        shown = run_detail(world.connection, 4)
        assert shown is not None and shown.figures == {"parameters": 7, "members": 2}
        assert [each.words for each in shown.sources] == ["run 2 (s1 on t)", "run 3 (s2 on t)"]
        end(world, 4)
        # A command makes another one; a newer source makes a newer one.
        assert await bench.planner.train_now("t", "five", 3) == "run 5 queued: five on t"
        end(world, 5, "stopped")
        assert await bench.planner.train_now("t", "five", 4) == "run 5 resumed: five on t"
        end(world, 5)
        assert await bench.planner.train_now("t", "s1", 5) == "run 6 queued: s1 on t"
        with pytest.raises(ValueError, match=r"five on t cannot start yet: run 6 \(s1 on t\) has not ended"):
            await bench.planner.train_now("t", "five", 6)
        end(world, 6)
        await bench.look()
        assert runs(world)[6] == (7, "five", "t", "queued", "6member,3member")
        end(world, 7)
    # Another name is the same student; another evaluation asks it again.
    (directory / "student").mkdir()
    world.connection.execute("DELETE FROM run_source WHERE run_id > 4")
    world.connection.execute("DELETE FROM run_sample WHERE run_id > 4")
    world.connection.execute("DELETE FROM run WHERE id > 4")
    other = made(world, {**FIVE, "name": "both", "evaluation": {"max_new_tokens": 99}})
    (directory / "evaluation.json").write_text("{}")
    async with planning(world, other, [plan]) as bench:
        await bench.look()
        [note] = bench.heard.of(RunNoted)
        assert "it is the student both now" in note.note
        [again] = bench.heard.of(EvaluatedAgain)
        assert (again.run_id, again.differ) == (4, "max_new_tokens was 256 and is 99")
        assert runs(world)[3:] == [(4, "both", "t", "queued", "2member,3member")]
    row = run_by_id(world.connection, 4)
    assert row is not None
    assert read_spec(materialise_derived(world.connection, other, row)).evaluation.max_new_tokens == 99


async def test_what_does_not_go_together_fails_before_a_process_starts(world: World) -> None:
    plan = active_plan(world)
    config = made(world, FIVE, {"name": "mean", "make": "merge", "of": ["s1", "s2"]})
    async with planning(world, config, [plan]) as bench:
        accept(world, plan, 3)
        for run in (1, 2, 3):
            await bench.look()
            end(world, run)
        await bench.look()
        student(world, config, 1)
        student(world, config, 2)
        row = run_by_id(world.connection, 4)
        assert row is not None
        with pytest.raises(
            JobFailed, match=r"the student of run 3 \(s2 on t\), which this run is made from, is gone"
        ):
            materialise_derived(world.connection, config, row)
        student(world, config, 3, tokenizer="another")
        for run in (4, 5):
            row = run_by_id(world.connection, run)
            assert row is not None
            with pytest.raises(
                JobFailed, match=r"run 2 \(s1 on t\) and run 3 \(s2 on t\) have other tokenizers"
            ):
                materialise_derived(world.connection, config, row)
        assert not (world.path.parent / "runs" / "4" / "spec.json").exists()
        # A source that has no student fails what is made from it, and says so.
        end(world, 3, "failed", error="no rows")
        assert await bench.planner.train_now("t", "s1", 7)
        end(world, 6)
        await bench.look()
        async with anyio.create_task_group() as group:
            await group.start(bench.trainer.serve)
            await until(lambda: len(bench.heard.of(RunFailed)) >= 4)
            group.cancel_scope.cancel()
        assert all(
            "its source, run 3 (s2 on t), failed (no rows)" in event.reason
            for event in bench.heard.of(RunFailed)
        )


async def test_a_student_starts_from_a_derived_one(world: World) -> None:
    plan = active_plan(world)
    recovered = {"name": "recovered", "base": "student:mean", **NANO}
    mean = {"name": "mean", "make": "merge", "of": ["s1", "s2"]}
    config = made(world, mean, students=[recovered, *SEEDS, WARM])
    async with planning(world, config, [plan]) as bench:
        accept(world, plan, 3)
        for run in (1, 2, 3, 4):
            await bench.look()
            end(world, run)
        await bench.look()
        assert [run[1] for run in runs(world)] == ["warm", "s1", "s2", "mean", "recovered"]
        for run in (1, 2, 3, 4):
            student(world, config, run)
        row = run_by_id(world.connection, 5)
        assert row is not None
        assert read_spec(materialise(world.connection, config, row)).source == "mean"
        # `coterie train t` begins with those that come from nobody.
        assert await bench.planner.train_now("t", None, 9) == "run 6 queued: warm on t"
