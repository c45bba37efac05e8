"""Intermediate tensors of an operation, complete or absent, so that a killed run does not compute them again.

    work/<name>.partial/   being written
    work/<name>/           tensors.safetensors on disk, then COMPLETE, then the name

Imports torch only when tensors are kept.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from engine.students.checkpoints import MARKER, sync
from engine.students.ranks import Stopped
from engine.students.run import Run

if TYPE_CHECKING:
    import torch

DIRECTORY = "work"
TENSORS = "tensors.safetensors"


class Work:
    """What an operation needs of its run."""

    def __init__(self, run: Run, device: Any) -> None:
        self._run = run
        self._place = run.directory / DIRECTORY
        self.device = device
        """Where to compute."""

    @property
    def seed(self) -> int:
        """Of everything that is drawn."""
        return self._run.spec.training.seed

    def check(self) -> None:
        """To be called between two pieces of work.

        Raises:
            Stopped: the run was asked to stop; it begins again behind what was kept.
        """
        if self._run.stop.set:
            raise Stopped

    def note(self, message: str) -> None:
        """Reports a deviation from what was configured."""
        self._run.note(message)

    def keep(self, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
        """Writes tensors that were costly; `kept` has them after a kill."""
        from safetensors.torch import save_file

        partial, final = self._place / f"{name}.partial", self._place / name
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        file = partial / TENSORS
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, file)
        sync(file)
        marker = partial / MARKER
        marker.write_text(json.dumps({"bytes": file.stat().st_size, "crc32": zlib.crc32(file.read_bytes())}))
        sync(marker)
        sync(partial)
        shutil.rmtree(final, ignore_errors=True)
        os.rename(partial, final)
        sync(self._place)
        self._run.tell("checkpoint", step=self._count(), seconds=0.0)

    def kept(self, name: str) -> dict[str, torch.Tensor] | None:
        """The tensors that were kept under a name; None where there are none, or a disk has changed them."""
        from safetensors.torch import load

        place = self._place / name
        try:
            said = json.loads((place / MARKER).read_bytes())
            data = (place / TENSORS).read_bytes()
        except (OSError, ValueError):
            return None
        if (len(data), zlib.crc32(data)) != (said.get("bytes"), said.get("crc32")):
            self.note(f"{DIRECTORY}/{name} is damaged: it is computed again")
            return None
        return load(data)

    def _count(self) -> int:
        """How many names are kept."""
        return len(list(self._place.glob(f"*/{MARKER}")))

    def forget(self) -> None:
        """Removes all of it: the run is finished."""
        shutil.rmtree(self._place, ignore_errors=True)
