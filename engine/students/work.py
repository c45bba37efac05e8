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
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from engine.errors import JobFailed
from engine.methods import TrainRow
from engine.students.checkpoints import MARKER, sync
from engine.students.operations.base import LearnedRows
from engine.students.ranks import Stopped
from engine.students.run import Run
from engine.students.spec import SourceStudent

if TYPE_CHECKING:
    import torch

DIRECTORY = "work"
TENSORS = "tensors.safetensors"
NO_LIMIT = 10**9


class Work:
    """What an operation needs of its run."""

    def __init__(
        self, run: Run, device: Any, score: Callable[[Any, str], float | None] | None = None
    ) -> None:
        self._run = run
        self._score = score
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

    def rows(self, source: SourceStudent, most: int) -> LearnedRows:
        """Rows that a student has learned, at most so many, drawn by the seed, in order.

        Raises:
            JobFailed: there are none.
        """
        from engine.students.opened_copy import open_copy, positions_of
        from engine.students.token_rows import read_rows, tokenize

        texts = [row for path in source.manifests for row in read_rows(path, TrainRow)]
        if not texts:
            raise JobFailed(
                f"{source.words} has no rows of its own, which {self._run.spec.kind} is computed on"
            )
        chosen = sorted(Random(self.seed).sample(range(len(texts)), min(most, len(texts))))
        architecture, tokenizer, form = open_copy(self._run, Path(source.directory))
        limit = positions_of(Path(source.directory)) or NO_LIMIT
        drawn = [texts[place] for place in chosen]
        tokens, _ = tokenize(form, drawn, max_length=NO_LIMIT)
        fitting = [place for place, row in enumerate(tokens) if len(row.ids) <= limit]
        if not fitting:
            raise JobFailed(
                f"none of the {len(drawn)} rows of {source.words} fits into its {limit} positions"
            )
        return LearnedRows(
            texts=[drawn[place] for place in fitting],
            tokens=[tokens[place] for place in fitting],
            architecture=architecture,
            tokenizer=tokenizer,
            form=form,
        )

    def score(self, model: Any, split: str) -> float | None:
        """The share of the run's dev or test questions that a model answers correctly; None: there are none."""
        assert self._score is not None, "only a run with questions is asked"
        return self._score(model, split)

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
