"""The checkpoints of a training: written by all ranks, and loaded into engine and optimizer."""

from __future__ import annotations

import shutil
from typing import Any

from engine.errors import JobFailed
from engine.students import zero
from engine.students.checkpoints import RunState, commit, partial_name
from engine.students.data_only import data_only
from engine.students.gathered_model import GatheredModel
from engine.students.optimizer_states import NAMES, read_universal, trained_names
from engine.students.resume import Resume
from engine.students.run import Run


def write_checkpoint(
    run: Run,
    engine: Any,
    optimizer: Any,
    state: RunState,
    files: dict[str, bytes],
    *,
    adapted: bool,
    bf16: bool,
) -> None:
    """Writes a checkpoint of `state`, with extra files. All ranks call it together.

    Args:
        run: the run.
        engine: DeepSpeed's engine.
        optimizer: its optimizer.
        state: what the marker says.
        files: names and contents of the extra files.
        adapted: whether adapters alone are kept.
        bf16: whether it computes in bf16.
    """
    directory, name = run.checkpoints, partial_name(state.step)
    plain = zero.clips_itself(run.spec.training, bf16)
    engine.save_checkpoint(
        str(directory),
        tag=name,
        client_state={NAMES: trained_names(engine.module, optimizer)} if plain else {},
        save_latest=False,
        exclude_frozen_parameters=adapted,
    )
    run.ranks.barrier()
    if run.ranks.first:
        for file, data in files.items():
            (directory / name / file).write_bytes(data)
        commit(directory, state)
    run.ranks.barrier()


def load_checkpoint(run: Run, engine: Any, optimizer: Any, gathered: GatheredModel, resume: Resume) -> None:
    """Loads what a run resumes from, and says how. All ranks call it together."""
    if resume.state is None:
        return
    if resume.note:
        run.note(resume.note)

    def load() -> None:
        with data_only():
            path, _ = engine.load_checkpoint(
                str(run.checkpoints),
                tag=resume.tag,
                load_module_strict=not gathered.adapted.frozen,  # it has none of those
                load_lr_scheduler_states=False,
            )
        if path is None:
            raise JobFailed(f"the checkpoint {resume.tag} in {run.checkpoints} cannot be read")

    if resume.how == "exact":
        load()
    elif resume.how == "finished" and run.ranks.first:
        gathered.read(run.checkpoints, resume.state.step)
    elif resume.how == "universal":
        if run.spec.training.zero_stage == 0:
            read_universal(run.checkpoints / resume.tag, engine.module, optimizer)
        else:
            zero.load_universal(engine, optimizer, load)
        run.ranks.barrier()
        if run.ranks.first:
            shutil.rmtree(run.checkpoints / resume.tag, ignore_errors=True)
