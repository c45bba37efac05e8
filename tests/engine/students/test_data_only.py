from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import JobFailed
from engine.students.data_only import data_only, read_file
from tests.lazily import Lazy

torch = Lazy("torch")
gathered_model = Lazy("engine.students.gathered_model")
engines = Lazy("deepspeed.runtime.checkpoint_engine.torch_checkpoint_engine")
configs = Lazy("deepspeed.runtime.zero.config")
scalers = Lazy("deepspeed.runtime.fp16.loss_scaler")


class Code:
    """What pickle runs when it reads it."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.file,)


def test_a_checkpoint_that_someone_changed_runs_no_code(tmp_path: Path) -> None:
    ran, folder = tmp_path / "ran", tmp_path / "7"
    folder.mkdir()
    file = folder / "mp_rank_00_model_states.pt"
    torch.save({"module": {"w": torch.ones(2)}, "more": Code(ran)}, file)
    before = torch.load
    with pytest.raises(JobFailed, match="content that is not data"):
        read_file(file, mmap=True)
    with pytest.raises(JobFailed, match=r"the weights of the checkpoint of step 7 .*not data"):
        gathered_model.read_weights(tmp_path, 7)
    with pytest.raises(JobFailed, match="resumes from the one before"), data_only():
        engines.TorchCheckpointEngine().load(str(file))  # it asks for everything
    assert not ran.exists() and torch.load is before
    torch.load(file, weights_only=False)
    assert ran.exists(), "the file does run code where it may"


def test_what_deepspeed_stores_is_data(tmp_path: Path) -> None:
    stage = configs.ZeroStageEnum.gradients
    torch.save({"zero_stage": stage, "loss_scaler": scalers.LossScaler(1)}, tmp_path / "states.pt")
    found = read_file(tmp_path / "states.pt")
    assert found["zero_stage"] == stage and found["loss_scaler"].cur_scale == 1
