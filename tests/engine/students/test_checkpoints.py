from __future__ import annotations

from pathlib import Path

from engine.students.checkpoints import (
    MARKER,
    DevResult,
    RunState,
    commit,
    complete_steps,
    partial_name,
    prune,
    read_state,
    replace,
)


def write(directory: Path, step: int, **state) -> RunState:
    partial = directory / partial_name(step)
    partial.mkdir(parents=True)
    (partial / "weights").write_bytes(b"1")
    found = RunState(step=step, world=1, **state)
    commit(directory, found)
    return found


def test_a_checkpoint_counts_only_with_its_marker(tmp_path) -> None:
    assert complete_steps(tmp_path / "none") == []
    state = write(tmp_path, 10, dev=(DevResult(step=5, n=4, correct=3),))
    (tmp_path / "20").mkdir()
    (tmp_path / "30.partial").mkdir()
    (tmp_path / "30.partial" / MARKER).write_text(state.model_dump_json())
    (tmp_path / "40").mkdir()
    (tmp_path / "40" / MARKER).write_text('{"step": 4')
    (tmp_path / "script.py").write_text("")
    assert complete_steps(tmp_path) == [10]
    assert read_state(tmp_path, 10) == state
    assert read_state(tmp_path, 20) is None and read_state(tmp_path, 40) is None


def test_the_newest_and_the_best_stay(tmp_path) -> None:
    for step in (1, 2, 30, 4):
        write(tmp_path, step)
    (tmp_path / "5.partial").mkdir()
    (tmp_path / "script.py").write_text("")
    prune(tmp_path, keep=2, also=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "30", "4", "script.py"]
    prune(tmp_path, keep=1)
    assert complete_steps(tmp_path) == [30]
    prune(tmp_path / "none", keep=1)


def test_a_step_can_be_saved_again_with_more_to_say(tmp_path) -> None:
    write(tmp_path, 3)
    later = write(tmp_path, 3, finished="complete")
    assert read_state(tmp_path, 3) == later


def test_of_equal_evaluations_the_last_is_best_but_not_better() -> None:
    results = [(1, 5), (2, 7), (3, 6), (4, 7)]
    state = RunState(world=1, dev=tuple(DevResult(step=step, n=9, correct=hits) for step, hits in results))
    assert state.best is not None and state.best.step == 4
    assert state.since_better == 2
    assert RunState(world=1).best is None and RunState(world=1).since_better == 0


def test_a_file_is_replaced_whole(tmp_path) -> None:
    replace(tmp_path / "file", b"one")
    replace(tmp_path / "file", b"two")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"two"]
