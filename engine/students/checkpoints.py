"""Checkpoints that are complete or absent, never half written. Imports nothing heavy.

    checkpoints/<step>.partial/   being written, by all ranks
    checkpoints/<step>/           all files are on disk, then COMPLETE, then the name

COMPLETE holds the state of the run at that step (a `RunState`) and the sizes of the files. Only a directory with a
readable marker counts, so a kill at any moment leaves the previous checkpoint intact; `damage` finds what a disk or a copy
did to its files afterwards. DeepSpeed's own `latest` file is written neither atomically nor
last, so it is not used.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

MARKER = "COMPLETE"
TENSORS = ".pt"
"""The suffix of files written by torch: zip archives."""


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
    """Why the training is over: "complete", "patience", or "early" if the user asked for it."""

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

    def at_plateau(self, patience: int) -> bool:
        """Whether `patience` dev evaluations followed the first of the best ones, or none can be better."""
        best = self.best
        return bool(patience and best and (best.correct == best.n or self.since_better >= patience))


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


def unmarked_steps(directory: Path) -> list[int]:
    """The steps of directories without a readable marker, ascending: damaged, or half removed."""
    names = [entry.name for entry in directory.iterdir()] if directory.is_dir() else []
    return sorted(
        int(name) for name in names if name.isdecimal() and read_state(directory, int(name)) is None
    )


def damage(directory: Path, step: int) -> str:
    """What is wrong with a file of a checkpoint; empty if nothing is. Reads all of it.

    Sizes are those that the marker has. Weights and optimizer states are archives with a checksum of each tensor.
    """
    place = directory / str(step)
    try:
        listed = json.loads((place / MARKER).read_bytes()).get("files", {})
        for name, (size, checksum) in listed.items():
            if (found := (place / name).stat().st_size) != size:
                return f"{name} has {found:,} bytes instead of {size:,}"
            if checksum is not None and zlib.crc32((place / name).read_bytes()) != checksum:
                return f"the content of {name} has changed"
        for path in sorted(place.rglob(f"*{TENSORS}")):
            with zipfile.ZipFile(path) as archive:
                if bad := archive.testzip():
                    return f"{bad} in {path.relative_to(place)} has a wrong checksum"
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _sizes(place: Path) -> Iterator[tuple[str, tuple[int, int | None]]]:
    """The size of each file, and a checksum where the file has none of its own."""
    for path in sorted(place.rglob("*")):
        if path.is_file() and path.name != MARKER:
            checksum = None if path.suffix == TENSORS else zlib.crc32(path.read_bytes())
            yield str(path.relative_to(place)), (path.stat().st_size, checksum)


def partial_name(step: int) -> str:
    """The name of a checkpoint while it is written."""
    return f"{step}.partial"


def commit(directory: Path, state: RunState) -> None:
    """Turns the written files of `state.step` into a checkpoint: syncs, lists, marks and renames them."""
    partial = directory / partial_name(state.step)
    for path in partial.rglob("*"):
        if path.is_file():
            sync(path)
    marker = partial / MARKER
    marker.write_text(json.dumps({**state.model_dump(mode="json"), "files": dict(_sizes(partial))}))
    sync(marker)
    sync(partial)
    final = directory / str(state.step)
    shutil.rmtree(final, ignore_errors=True)  # without a marker, or it would not be written again
    os.rename(partial, final)
    sync(directory)


def discard(directory: Path, step: int) -> None:
    """Makes a damaged checkpoint count no more. Its files go with the next `prune`."""
    (directory / str(step) / MARKER).unlink(missing_ok=True)


def removable(directory: Path, *, keep: int, also: int | None = None) -> list[Path]:
    """Unfinished checkpoints, and complete ones except the newest `keep` and that of step `also`.

    The whole directory, if none is to be kept.
    """
    if not directory.is_dir():
        return []
    if keep == 0 and also is None:
        return [directory]
    steps = complete_steps(directory)
    kept = {*steps[max(0, len(steps) - keep) :], also}
    found = []
    for entry in directory.iterdir():
        step = entry.name.removesuffix(".partial").removesuffix(".universal")
        ours = entry.is_dir() and step.isdecimal()  # DeepSpeed puts scripts of its own beside them
        if ours and not (entry.name == step and int(step) in kept):
            found.append(entry)
    return found


def prune(directory: Path, *, keep: int, also: int | None = None) -> None:
    """Removes what is `removable`."""
    for entry in removable(directory, keep=keep, also=also):
        for marker in entry.rglob(MARKER):
            marker.unlink(missing_ok=True)  # first: a half-removed one must not count
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
