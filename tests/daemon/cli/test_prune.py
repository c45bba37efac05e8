"""`coterie prune` on real run directories: what goes, what stays, and its words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.__main__ import main
from engine.students.checkpoints import RunState as TrainingState
from engine.students.checkpoints import commit, complete_steps, partial_name
from state.enums import RunState
from state.runs import RunEnd, RunSettings, create_run, end_run
from tests.daemon.cli.test_export import CONFIG
from tests.state.test_runs import NEW
from tests.state.world import World, make

SIZE = 1000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Runs 1 and 2 are done (2 keeps one checkpoint), 3 was stopped, and 4 is done but has no student."""
    (tmp_path / "config.toml").write_text(CONFIG)
    found = make(tmp_path / "state.db", questions=1)
    keep = RunSettings(student={"training": {"keep_checkpoints_finished": 1}})
    create_run(
        found.connection,
        [
            replace(NEW, sample_ids=(), trigger=str(number), **({"settings": keep} if number == 2 else {}))
            for number in (1, 2, 3, 4)
        ],
    )
    ends = {1: RunState.DONE, 2: RunState.DONE, 3: RunState.STOPPED, 4: RunState.DONE}
    end_run(found.connection, [RunEnd(run_id=run, state=state) for run, state in ends.items()])
    for run in ends:
        directory = tmp_path / "runs" / str(run)
        for step in (5, 10):
            partial = directory / "checkpoints" / partial_name(step)
            partial.mkdir(parents=True)
            (partial / "weights").write_bytes(bytes(SIZE))
            commit(directory / "checkpoints", TrainingState(step=step, world=1))
        if run != 4:
            (directory / "student").mkdir()
    yield found
    found.connection.close()


def left(folder: Path) -> list[list[int]]:
    return [complete_steps(folder / "runs" / str(run) / "checkpoints") for run in (1, 2, 3, 4)]


def test_only_finished_runs_with_their_student_lose_checkpoints(world, tmp_path, capsys) -> None:
    command = ["prune", "-c", str(tmp_path / "config.toml")]
    assert main([*command, "--dry-run"]) == 0
    foretold = capsys.readouterr().out.splitlines()
    assert left(tmp_path) == [[5, 10]] * 4
    before = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert main(command) == 0
    told = capsys.readouterr().out.splitlines()
    after = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert left(tmp_path) == [[], [10], [5, 10], [5, 10]]
    assert (tmp_path / "runs" / "1" / "student").is_dir()
    assert [line.split()[:2] for line in told[:-1]] == [["run", "1"], ["run", "2"]] and told[:-1] == foretold[
        :-1
    ]
    assert told[-1] == f"{before - after:,} bytes freed" and before - after > 3 * SIZE
    assert foretold[-1] == f"dry run: {before - after:,} bytes would be freed"
    assert main(command) == 0
    assert capsys.readouterr().out == "no finished run has checkpoints to remove\n"
