"""Checkpoints that are complete or absent, never half written. Imports nothing heavy.

    checkpoints/<step>.partial/   being written, by all ranks
    checkpoints/<step>/           all files are on disk, then COMPLETE, then the name

COMPLETE holds the state of the run at that step (a `RunState`). Only a directory with a readable marker counts, so a
kill at any moment leaves the previous checkpoint intact. DeepSpeed's own `latest` file is written neither atomically nor
last, so it is not used.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

MARKER = "COMPLETE"


class DevResult(BaseModel):
    """One dev evaluation, over all tasks."""

    model_config = ConfigDict(frozen=True)

    step: int
    n: int
    correct: int


class RunState(BaseModel):
    """The state a run needs to resume. Everything else follows from the spec and the step."""

    model_config = ConfigDict(frozen=True)

    step: int = 0
    world: int
    stage: int | None = None
    """ZeRO stage; None in old checkpoints that did not store it."""
    packed: bool = False
    dev: tuple[DevResult, ...] = ()
    finished: str | None = None
    """Why the training is over: "complete" or "patience"."""

    @property
    def best(self) -> DevResult | None:
        """The best dev evaluation. Of equal ones the last, whose learning rate was lowest."""
        return max(self.dev, key=lambda result: (result.correct, result.step), default=None)

    @property
    def since_better(self) -> int:
        """How many dev evaluations followed the first of the best ones."""
        if not self.dev:
            return 0
        top = max(result.correct for result in self.dev)
        return len(self.dev) - 1 - next(i for i, result in enumerate(self.dev) if result.correct == top)


def complete_steps(directory: Path) -> list[int]:
    """The steps of all complete checkpoints, ascending."""
    if not directory.is_dir():
        return []
    steps = [int(entry.name) for entry in directory.iterdir() if entry.name.isdecimal()]
    return sorted(step for step in steps if read_state(directory, step) is not None)


def read_state(directory: Path, step: int) -> RunState | None:
    """The content of a checkpoint's marker; None if it is missing or unreadable."""
    try:
        return RunState.model_validate_json((directory / str(step) / MARKER).read_bytes())
    except (OSError, ValidationError):
        return None


def partial_name(step: int) -> str:
    """The name of a checkpoint while it is written."""
    return f"{step}.partial"


def commit(directory: Path, state: RunState) -> None:
    """Turns the written files of `state.step` into a checkpoint: syncs, marks and renames them."""
    partial = directory / partial_name(state.step)
    for path in partial.rglob("*"):
        if path.is_file():
            sync(path)
    marker = partial / MARKER
    marker.write_text(state.model_dump_json())
    sync(marker)
    sync(partial)
    final = directory / str(state.step)
    shutil.rmtree(final, ignore_errors=True)  # without a marker, or it would not be written again
    os.rename(partial, final)
    sync(directory)


def prune(directory: Path, *, keep: int, also: int | None = None) -> None:
    """Removes unfinished checkpoints, and complete ones except the newest `keep` and that of step `also`."""
    steps = complete_steps(directory)
    kept = {*steps[-keep:], also}
    for entry in directory.iterdir() if directory.is_dir() else ():
        step = entry.name.removesuffix(".partial").removesuffix(".universal")
        ours = entry.is_dir() and step.isdecimal()  # DeepSpeed puts scripts of its own beside them
        if not ours or (entry.name == step and int(step) in kept):
            continue
        (entry / MARKER).unlink(missing_ok=True)  # first: a half-removed one must not count
        shutil.rmtree(entry, ignore_errors=True)


def sync(path: Path) -> None:
    """Flushes a file, or the entries of a directory, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(path: Path, data: bytes) -> None:
    """Writes a file atomically."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(data)
    sync(partial)
    os.rename(partial, path)
