from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from engine.config.students import TrainingConfig
from engine.errors import JobFailed
from engine.students.launch import (
    accumulation_steps,
    free_port,
    rank_commands,
    ranks_for,
    training_environment,
)

ROOT = Path(__file__).resolve().parents[3]


def test_each_rank_knows_its_place(tmp_path) -> None:
    ranks = rank_commands(
        tmp_path, TrainingConfig(devices=3), device="cpu", threads=2, python="/py", environ={}
    )
    assert [rank.argv for rank in ranks] == [("/py", "-P", "-m", "engine.students.train", str(tmp_path))] * 3
    assert [(rank.rank, rank.env["RANK"], rank.env["LOCAL_RANK"]) for rank in ranks] == [
        (number, str(number), str(number)) for number in range(3)
    ]
    assert {rank.env["WORLD_SIZE"] for rank in ranks} == {"3"}
    assert len({rank.env["MASTER_PORT"] for rank in ranks}) == 1
    assert ranks[0].env["MASTER_ADDR"] == "127.0.0.1"
    assert ranks[0].env["OMP_NUM_THREADS"] == "2" and ranks[0].env["OMP_WAIT_POLICY"] == "PASSIVE"
    assert ranks[0].env["CUDA_VISIBLE_DEVICES"] == ""


def test_ranks_on_gpus_keep_the_visible_ones(tmp_path) -> None:
    [rank] = rank_commands(
        tmp_path, TrainingConfig(), device="cuda", threads=4, environ={"CUDA_VISIBLE_DEVICES": "3"}, port=4000
    )
    assert rank.env["CUDA_VISIBLE_DEVICES"] == "3" and rank.env["DS_ACCELERATOR"] == "cuda"
    assert rank.env["MASTER_PORT"] == "4000"


def test_secrets_stay_behind() -> None:
    kept = {"PATH": "/bin", "LANG": "C", "LC_ALL": "C", "NCCL_DEBUG": "INFO", "HF_HOME": "/models"}
    secret = {
        "OPENAI_API_KEY": "k",
        "MY_CANARY": "k",
        "HF_TOKEN": "k",
        "HF_HUB_TOKEN": "k",
        "TORCH_SECRET": "k",
    }
    assert training_environment(kept | secret) == kept


def test_a_free_port_can_be_bound() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", free_port()))


def test_a_folder_where_the_daemon_was_started_is_not_imported(tmp_path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    [rank] = rank_commands(tmp_path, TrainingConfig(), device="cpu", threads=1, environ={})
    found = subprocess.run(
        [rank.argv[0], "-P", "-c", "import state; print(state.__file__)"],
        cwd=tmp_path,
        env=dict(rank.env),
        capture_output=True,
        text=True,
    )
    assert Path(found.stdout.strip()).is_relative_to(ROOT), found.stderr


@pytest.mark.parametrize(
    "module",
    [
        "progress_file",
        "launch",
        "run_commands",
        "spec",
        "checkpoints",
        "ranks",
        "run",
        "out_of_memory",
        "hosts",
    ],
)
def test_what_the_daemon_imports_is_light(module) -> None:
    code = f"import engine.students.{module}, sys, json; print(json.dumps([*sys.modules]))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "deepspeed", "numpy"} & set(json.loads(found.stdout))


def test_a_steps_micro_batches_are_shared_evenly_or_not_at_all() -> None:
    training = TrainingConfig(devices=4, accumulation=3)
    assert [accumulation_steps(training, world) for world in (1, 2, 3, 4, 6, 12)] == [12, 6, 4, 3, 2, 1]
    with pytest.raises(JobFailed, match=r"4 x 3 micro-batches .* which 5 ranks cannot share evenly"):
        accumulation_steps(training, 5)


def test_as_many_ranks_as_share_evenly() -> None:
    training = TrainingConfig(devices=4, accumulation=3)
    assert [ranks_for(training, available) for available in (1, 2, 3, 4, 5, 6, 11, 12, 100)] == [
        *(1, 2, 3, 4, 4, 6, 6, 12, 12)
    ]
