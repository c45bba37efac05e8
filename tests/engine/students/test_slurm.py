from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from engine.config.training import SlurmConfig, TrainingConfig
from engine.errors import JobFailed
from engine.students.progress_file import FILE, ProgressWriter
from engine.students.slurm import check_slurm, parameters
from engine.students.slurm_rank import SlurmRank, first_host, rank_environment_in

TASK = {
    "SLURM_JOB_ID": "20007",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_JOB_NODELIST": "gpu[07-08]",
    "SLURM_NTASKS": "8",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
}


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("vm", "vm"),
        ("gpu[07-09,12],cpu1", "gpu07"),
        ("a,b", "a"),
        ("rack1-n[3]", "rack1-n3"),
        ("r[1-2]n[4-5]", "r1n4"),
    ],
)
def test_the_first_host_of_a_node_list(nodes: str, first: str) -> None:
    assert first_host(nodes) == first


def test_a_rank_knows_its_place_and_no_secret() -> None:
    env = rank_environment_in(
        {**TASK, "PATH": "/bin", "OPENAI_API_KEY": "sk-1", "NCCL_DEBUG": "node"},
        {"NCCL_DEBUG": "daemon"},
        "cuda",
    )
    wanted = {
        "RANK": "5",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "8",
        "LOCAL_WORLD_SIZE": "4",
        "MASTER_ADDR": "gpu07",
    }
    assert wanted.items() <= env.items() and env["NCCL_DEBUG"] == "daemon" and "OPENAI_API_KEY" not in env
    again = rank_environment_in({**TASK, "SLURM_RESTART_COUNT": "1"}, {}, "cpu")
    assert again["MASTER_PORT"] != env["MASTER_PORT"] and again["CUDA_VISIBLE_DEVICES"] == ""


def test_what_is_asked_of_the_cluster() -> None:
    asked = parameters(
        TrainingConfig.model_validate(
            {
                "executor": "slurm",
                "devices": 8,
                "slurm": {
                    "nodes": 2,
                    "gpu": "a100",
                    "minutes": 60,
                    "memory": "64G",
                    "arguments": {"reservation": "night"},
                },
            }
        )
    )
    assert asked["nodes"] == 2 and asked["ntasks_per_node"] == 4 and asked["gpus_per_node"] == "a100:4"
    assert asked["time"] == 60 and asked["mem"] == "64G" and "partition" not in asked
    assert asked["additional_parameters"]["reservation"] == "night"
    assert "gpus_per_node" not in parameters(TrainingConfig(slurm=SlurmConfig(gpu=False)))


@pytest.mark.parametrize(
    ("training", "message"),
    [
        (
            {"devices": 3, "slurm": {"nodes": 2}},
            "devices = 3 ranks cannot be the same number on each of slurm.nodes = 2",
        ),
        ({"hostfile": "hosts"}, "needs no hostfile"),
        ({"slurm": {"minutes": 2}}, "stop_before_s = 120 must be less than the time limit, which is 120 s"),
        ({"slurm": {"arguments": {"export": "ALL"}}}, "arguments must not have export"),
        ({"slurm": {"arguments": {"--qos": "x"}}}, "pattern"),
    ],
)
def test_settings_that_cannot_hold(training: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainingConfig.model_validate({"executor": "slurm", **training})


def test_a_machine_without_slurm(tmp_path: Path) -> None:
    with pytest.raises(
        JobFailed, match=r'executor = "slurm" needs sbatch, srun, squeue, scancel, scontrol on the PATH'
    ):
        check_slurm({"PATH": str(tmp_path)})


def test_a_job_without_a_new_checkpoint_is_not_queued_again(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    rank = SlurmRank(str(tmp_path), "cpu", {})
    said = ProgressWriter(tmp_path / FILE)
    said.write("starting", phase="importing")
    assert rank.checkpoint() is None
    said.write("checkpoint", step=20, seconds=0.1)
    said.close()
    assert rank.checkpoint().function == rank
