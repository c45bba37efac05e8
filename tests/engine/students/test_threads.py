from __future__ import annotations

import pytest

from engine.students.run_commands import THREADS, read_share, write_share
from tests.lazily import Lazy

torch, threads = Lazy("torch"), Lazy("engine.students.threads")


@pytest.fixture(autouse=True)
def restored():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_rank_follows_its_share(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    torch.set_num_threads(3)
    of_rank = threads.Threads(tmp_path, weights=50_000_000)
    assert of_rank.agreed == 3, "what it was started with, if nobody said anything else"
    write_share(tmp_path, 8)
    of_rank.follow()
    assert torch.get_num_threads() == 4 and of_rank.agreed == 3
    of_rank.agree(of_rank.wanted)
    assert torch.get_num_threads() == of_rank.agreed == 4
    write_share(tmp_path, 1)
    of_rank.follow()
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(
    ("weights", "expected"), [(56_000, 1), (1_900_000, 1), (5_800_000, 5), (135_000_000, 8)]
)
def test_a_small_model_uses_few_threads(tmp_path, monkeypatch, weights: int, expected: int) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    write_share(tmp_path, 8)
    assert threads.Threads(tmp_path, weights=weights).agreed == torch.get_num_threads() == expected


def test_a_file_that_says_nothing_changes_nothing(tmp_path) -> None:
    assert read_share(tmp_path) is None
    (tmp_path / THREADS).write_text("")
    assert read_share(tmp_path) is None
    write_share(tmp_path / "gone", 3)
    assert not (tmp_path / "gone").exists()
