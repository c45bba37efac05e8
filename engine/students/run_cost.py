"""What a run costs in time and memory, as measured in its own process: an event `cost` of `progress.jsonl`. Imports nothing heavy."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

EVENT = "cost"


class RunCost(BaseModel):
    """The figures of a run. Seconds are for the whole run; all but the measured speeds are planned from its settings."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    rows: int = 0
    steps: int = 0
    measured_steps: int = 0
    tokens_per_second: float | None = None
    """Of training, on all ranks together; None where nothing is trained."""
    start_s: float
    """Until the first step: libraries, rows, model."""
    training_s: float = 0.0
    evaluation_s: float
    """The dev evaluations and the test."""
    saving_s: float = 0.0
    """Checkpoints and export."""
    answer_tokens: int
    """The length of an answer that evaluation is estimated with."""
    cpu_share: float | None = None
    """CPU seconds of a process in each second of its measured steps, on a CPU: below 1, others kept it waiting."""
    memory_bytes: int
    """The peak of all ranks on a CPU, of one rank on a GPU."""
    disk_bytes: int = 0
    """Of checkpoints and export, at most at a time."""
    kept_bytes: int = 0
    """Of what stays when the run is finished."""

    @property
    def seconds(self) -> float:
        """The time of the run."""
        return self.start_s + self.training_s + self.evaluation_s + self.saving_s
