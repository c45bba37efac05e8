"""A run that ran out of memory: whether it did, and how it is resumed."""

from __future__ import annotations

from dataclasses import replace

from daemon.training.run_process import RunProcess
from state.runs import RunSettings

MOST_SPLITS = 64


def in_smaller_parts(run: RunProcess) -> tuple[RunSettings, str] | None:
    """The settings with each micro-batch split further, and what is said of it; None if it ended for another reason.

    Also None if nothing is left to split.
    """
    if not (run.ending.memory or (not run.ending.kind and run.out_of_memory())):
        return None
    settings, training = run.row.settings, run.row.settings.student["training"]
    splits = 2 * settings.splits
    if splits > MOST_SPLITS:
        return None
    why = run.ending.message or "out of memory: the kernel killed its process"
    size = "batch_rows" if training.get("batch_rows") else "batch_tokens"
    return replace(settings, splits=splits), (
        f"{why}; it is resumed with each micro-batch in {splits} parts, as with {size} = "
        f"{max(1, training[size] // splits)} and accumulation = {training['accumulation'] * splits}: "
        "rows and tokens of a step stay the same"
    )
