from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.students.checkpoints import (
    MARKER,
    DevResult,
    RunState,
    commit,
    complete_steps,
    damage,
    discard,
    partial_name,
    prune,
    read_state,
    replace,
    unmarked_steps,
)
from tests.lazily import Lazy

torch = Lazy("torch")


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


def test_of_a_finished_run_nothing_stays(tmp_path) -> None:
    for step in (1, 2):
        write(tmp_path / "checkpoints", step)
    (tmp_path / "checkpoints" / "zero_to_fp32.py").write_text("")
    prune(tmp_path / "checkpoints", keep=3)
    assert complete_steps(tmp_path / "checkpoints") == [1, 2]
    prune(tmp_path / "checkpoints", keep=0)
    assert not (tmp_path / "checkpoints").exists()


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [zero, cut, flip, Path.unlink])
@pytest.mark.parametrize("name", ["model.pt", "rank/optimizer.pt", "dev.jsonl", MARKER])
def test_a_damaged_file_is_found(tmp_path, name, harm) -> None:
    partial = tmp_path / partial_name(7)
    (partial / "rank").mkdir(parents=True)
    torch.save({"weight": torch.ones(3000)}, partial / "model.pt")
    torch.save({"moments": [torch.ones(3000)]}, partial / "rank" / "optimizer.pt")
    (partial / "dev.jsonl").write_text('{"text": "So. --> yes END"}\n' * 9)
    commit(tmp_path, RunState(step=7, world=1))
    assert damage(tmp_path, 7) == "" and complete_steps(tmp_path) == [7]
    harm(tmp_path / "7" / name)
    if name == MARKER and harm is not flip:
        assert (complete_steps(tmp_path), unmarked_steps(tmp_path)) == ([], [7])
    elif name != MARKER:
        assert damage(tmp_path, 7)
        discard(tmp_path, 7)
        assert complete_steps(tmp_path) == []


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


@pytest.mark.parametrize(
    ("hits", "patience", "ends"),
    [
        ([5, 7, 6], 2, False),
        ([5, 7, 6, 7], 2, True),
        ([5, 7, 6, 8], 2, False),
        ([0, 0, 0], 2, True),
        ([5, 9], 2, True),  # of nine: there is nothing better
        ([5, 9], 0, False),
        ([], 2, False),
    ],
)
def test_a_plateau_is_patience_used_up_or_nothing_left_to_get_better(
    hits: list[int], patience: int, ends: bool
) -> None:
    dev = tuple(DevResult(step=step, n=9, correct=correct) for step, correct in enumerate(hits))
    assert RunState(world=1, dev=dev).at_plateau(patience) is ends


def test_a_file_is_replaced_whole(tmp_path) -> None:
    replace(tmp_path / "file", b"one")
    replace(tmp_path / "file", b"two")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"two"]


def test_all_files_are_on_disk_before_the_marker_and_the_marker_before_the_name(
    tmp_path, monkeypatch
) -> None:
    done: list[str] = []

    def synced(path: Path) -> None:
        done.append(f"sync {path.relative_to(tmp_path)}" + (" marked" if (path / MARKER).is_file() else ""))

    def renamed(source: Path, target: Path) -> None:
        done.append(f"rename {Path(source).relative_to(tmp_path)} {Path(target).relative_to(tmp_path)}")
        rename(source, target)

    rename = os.rename
    monkeypatch.setattr("engine.students.checkpoints.sync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    partial = tmp_path / "3.partial"
    (partial / "shard").mkdir(parents=True)
    for name in ("weights", "shard/0"):
        (partial / name).write_bytes(b"1")
    commit(tmp_path, RunState(step=3, world=1))
    assert set(done[:2]) == {"sync 3.partial/weights", "sync 3.partial/shard/0"}
    assert done[2:] == [f"sync 3.partial/{MARKER}", "sync 3.partial marked", "rename 3.partial 3", "sync ."]
    done.clear()
    replace(tmp_path / "owner.json", b"{}")
    assert done == ["sync owner.json.partial", "rename owner.json.partial owner.json"]


def test_a_file_that_grew_is_damage_and_so_is_one_that_shrank(tmp_path) -> None:
    for step, content, told in ((1, b"12", "2 bytes instead of 1"), (2, b"", "0 bytes instead of 1")):
        write(tmp_path, step)
        (tmp_path / str(step) / "weights").write_bytes(content)
        assert damage(tmp_path, step) == f"weights has {told}"
