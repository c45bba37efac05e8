"""The checkpoints of a session: written by all ranks, and loaded into engine and optimizer."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from engine.errors import JobFailed
from engine.students import zero
from engine.students.checkpoints import RunState, commit, partial_name
from engine.students.optimizer_states import NAMES, read_universal, trained_names
from engine.students.resume import Resume

if TYPE_CHECKING:
    from engine.students.session import Session


def save(session: Session, state: RunState, files: dict[str, bytes]) -> None:
    """Writes a checkpoint of `state`, with extra files. All ranks call it together."""
    run, directory = session.run, session.run.checkpoints
    name = partial_name(state.step)
    plain = zero.clips_itself(run.spec.training, session.loop.bf16)
    session.engine.save_checkpoint(
        str(directory),
        tag=name,
        client_state={NAMES: trained_names(session.engine.module, session.loop.optimizer)} if plain else {},
        save_latest=False,
        exclude_frozen_parameters=session.gathered.adapted is not None,
    )
    run.ranks.barrier()
    if run.ranks.first:
        for file, data in files.items():
            (directory / name / file).write_bytes(data)
        commit(directory, state)
    run.ranks.barrier()
    session.saved = state


def _load(session: Session, tag: str) -> None:
    """Loads the weights and the optimizer state of a complete checkpoint into the engine."""
    path, _ = session.engine.load_checkpoint(
        str(session.run.checkpoints),
        tag=tag,
        load_module_strict=session.gathered.adapted is None,  # it has no frozen weights
        load_lr_scheduler_states=False,
    )
    if path is None:
        raise JobFailed(f"the checkpoint {tag} in {session.run.checkpoints} cannot be read")


def resume_session(session: Session, resume: Resume) -> RunState | None:
    """Loads the newest checkpoint and returns its state with the ranks and stage of this start; None if there is none."""
    run, state = session.run, resume.state
    if state is None:
        return None
    if resume.note:
        run.note(resume.note)
    if resume.how == "universal" and run.spec.training.zero_stage == 0:
        read_universal(run.checkpoints / resume.tag, session.engine.module, session.loop.optimizer)
    elif resume.how == "universal":
        zero.load_universal(session.engine, session.loop.optimizer, lambda: _load(session, resume.tag))
    elif resume.how == "exact":
        _load(session, resume.tag)
    elif resume.how == "finished" and run.ranks.first:
        session.gathered.read(run.checkpoints, state.step)
    if resume.how == "universal":
        run.ranks.barrier()
        if run.ranks.first:
            shutil.rmtree(run.checkpoints / resume.tag, ignore_errors=True)
    return session.stamp(state)
