"""A run's directory belongs to one run of one database, and nothing in another's is believed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from daemon.events import RunFailed, RunFinished, RunNoted
from daemon.training import trainer as trainer_module
from daemon.training.devices import Device
from daemon.training.manifest import materialise
from daemon.training.run_directory import own_directory
from engine.config import Config
from engine.errors import JobFailed
from engine.students.progress_file import FILE, ProgressWriter
from engine.students.run import check_owner, read_spec
from engine.students.run_lock import lock_run, unlock_run
from state.database import backup, database_id, open_writer
from state.runs import RunRow, run_by_id
from tests.daemon.parts import Heard, active_plan, until
from tests.daemon.training.test_manifest import config, order, rows, run, sample
from tests.daemon.training.test_trainer import config as trainer_config
from tests.daemon.training.test_trainer import parts
from tests.state.world import World, make, question_rows

pytestmark = pytest.mark.anyio


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = make(tmp_path / "state.db", questions=3)
    yield found
    found.connection.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[World]:
    """A second database in the same folder."""
    found = make(tmp_path / "other.db", questions=3)
    yield found
    found.connection.close()


def begun(world: World, row: RunRow) -> RunRow:
    """A run whose process was started."""
    world.connection.execute("UPDATE run SET started_at = 1, tries = 1 WHERE id = ?", (row.id,))
    found = run_by_id(world.connection, row.id)
    assert found is not None
    return found


def trained(world: World, made: Config, seed: int = 0) -> tuple[RunRow, Path]:
    """A run and its directory, with results."""
    row = run(world, made, order(world, method="fine-tune", training={"seed": seed}))
    directory = materialise(world.connection, made, row)
    (directory / "predictions.jsonl").write_text(f"of seed {seed}")
    return begun(world, row), directory


def test_a_database_keeps_its_identity_in_copies_and_a_new_one_has_another(
    world: World, other: World
) -> None:
    copy = backup(world.connection, world.path)
    with closing(open_writer(copy)) as restored:
        assert database_id(restored) == database_id(world.connection) != database_id(other.connection)


def test_another_databases_directory_is_set_aside_and_found_again_by_its_own(
    world: World, other: World
) -> None:
    made = config(world)
    theirs, _ = trained(other, made, seed=1)
    mine = run(world, made, order(world, method="fine-tune"))
    said: list[str] = []
    directory = materialise(world.connection, made, mine, said.append)
    assert directory.name == "1" and not (directory / "predictions.jsonl").exists()
    assert read_spec(directory).training.seed == 0
    aside = own_directory(other.connection, made, theirs)
    assert aside is not None and aside.name == f"1.of-{database_id(other.connection)[:8]}"
    assert (aside / "predictions.jsonl").read_text() == "of seed 1"
    assert len(said) == 1 and f"set aside as {aside.name}" in said[0]
    # It goes on where it was, and the other one is set aside in turn.
    assert materialise(other.connection, made, theirs) == directory
    assert (directory / "predictions.jsonl").read_text() == "of seed 1" and not aside.exists()
    again = own_directory(world.connection, made, mine)
    assert again is not None and read_spec(again).training.seed == 0


def test_what_a_process_trains_in_is_not_moved_but_refused_by_name(world: World, other: World) -> None:
    made = config(world)
    _, directory = trained(other, made, seed=1)
    held = lock_run(directory, first=True)
    with pytest.raises(
        JobFailed, match=rf"{directory} is not this run's: it belongs to run 1 of the database"
    ):
        materialise(world.connection, made, run(world, made, order(world, method="fine-tune")))
    unlock_run(held)
    assert (directory / "predictions.jsonl").read_text() == "of seed 1"


@pytest.mark.parametrize("differs", ["nothing", "seed", "rows", "test questions"])
def test_after_a_backup_is_restored_rows_and_settings_decide(
    world: World, tmp_path: Path, differs: str
) -> None:
    made, plan = config(world), world.plan()
    copy = backup(world.connection, world.path)
    sample(world, plan, "because", "since")
    row = run(world, made, order(world, plan))
    directory = materialise(world.connection, made, row)
    (directory / "predictions.jsonl").write_text("of the future")
    restored = World(path=copy, connection=open_writer(copy), tasks=world.tasks, teachers=world.teachers)
    restored.sizes = world.sizes
    with closing(restored.connection):
        restored.reboot()
        sample(restored, plan, *(["because", "since"] if differs != "rows" else ["as"]))
        if differs == "test questions":
            restored.task(
                "t",
                [*question_rows(3), *question_rows(2, split="dev", start=3)]
                + question_rows(1, split="test", start=9),
            )
        asked = order(restored, plan, training={"seed": 1} if differs == "seed" else {})
        materialise(restored.connection, made, run(restored, made, asked))
    kept = (directory / "predictions.jsonl").exists()
    assert kept == (differs == "nothing")
    assert kept or [path.read_text() for path in tmp_path.glob("runs/1.of-*/predictions.jsonl")] == [
        "of the future"
    ]


def test_a_directory_of_an_older_version_is_its_runs_if_it_was_started_and_fits(world: World) -> None:
    made = config(world)
    row, directory = trained(world, made)
    (directory / "owner.json").unlink()
    assert own_directory(world.connection, made, row) == directory
    assert own_directory(world.connection, made, replace(row, started_at=None)) is None
    assert own_directory(world.connection, made, replace(row, digest="other")) is None
    changed = {**row.settings.student, "training": {**row.settings.student["training"], "seed": 1}}
    assert (
        own_directory(world.connection, made, replace(row, settings=replace(row.settings, student=changed)))
        is None
    )
    assert materialise(world.connection, made, row) == directory
    assert (directory / "owner.json").exists(), "from now on it says so"
    assert (directory / "predictions.jsonl").exists()


def test_the_training_process_refuses_files_of_several_runs(world: World) -> None:
    made = config(world)
    _, directory = trained(world, made)
    check_owner(directory, spec := read_spec(directory))
    for foreign in (spec.model_copy(update={"run_id": 2}), spec.model_copy(update={"manifest_digest": "x"})):
        with pytest.raises(JobFailed, match="are not of one run"):
            check_owner(directory, foreign)
    (directory / "manifest.jsonl").write_text("")
    with pytest.raises(JobFailed, match="are not of one run"):
        check_owner(directory, spec)
    assert rows(directory) == []


@pytest.mark.parametrize("whose", ["another's", "its own"])
async def test_results_of_another_database_are_not_taken_over_and_kill_no_start(
    world: World, other: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    """Before, the new run was done with the other seed's accuracy, or a KeyError ended every start."""

    def spawned(row: RunRow, made: Config, *given: Any) -> Any:
        raise JobFailed(f"not started: {materialise(world.connection, made, row, given[-1])}")

    monkeypatch.setattr(trainer_module, "spawn", spawned)
    made, heard = trainer_config(world), Heard()
    new = run(world, made, order(world, method="fine-tune"))
    owner, row = (other, trained(other, made, seed=1)[0]) if whose == "another's" else (world, new)
    progress = ProgressWriter(materialise(owner.connection, made, row) / FILE)
    evaluation = {"split": "test", "step": 2, "epoch": 1.0, "n": 2, "correct": 2, "accuracy": 1.0}
    task = "t" if whose == "another's" else "another"
    progress.write("eval", task=task, **evaluation, low=0.3, high=1.0, seed=1)
    progress.write("done", step=2, steps=2, trained=2, reason="complete")
    progress.close()
    world.connection.execute(
        "UPDATE run SET state = 'training', pid = 4194305, pid_started = 1.0, tries = 1, started_at = 1"
    )
    devices = [Device("cpu:0", "cpu", 0, 1)]
    plan = active_plan(world)
    async with parts(world, made, plan, heard, devices) as (trainer, _), anyio.create_task_group() as group:
        await group.start(trainer.serve)
        await until(lambda: heard.of(RunFailed))
        group.cancel_scope.cancel()
    reason = heard.of(RunFailed)[0].reason
    assert world.rows("SELECT * FROM evaluation") == [] and not heard.of(RunFinished)
    if whose == "its own":
        assert "its progress.jsonl cannot be read (KeyError: 'another')" in reason
        return
    assert reason == f"not started: {tmp_path / 'runs' / '1'}", "it starts again"
    aside = f"1.of-{database_id(other.connection)[:8]}"
    assert any(aside in each.note for each in heard.of(RunNoted))
    assert (tmp_path / "runs" / aside / FILE).exists() and not (tmp_path / "runs" / "1" / FILE).exists()
