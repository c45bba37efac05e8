"""How a run resumes from its checkpoint, and the note that explains any difference from an exact resume.

exact       the same stage and number of ranks: the numbers are those of a run that was never interrupted
universal   another number of ranks at the same stage (1 to 3), or to and from the single rank that needs no stage
            (`optimizer_states`): universal checkpoints distribute the optimizer states again; the numbers agree to rounding
weights     anything else (another stage, bf16 at stage 0): weights and step are kept, the moments of the optimizer start at zero
finished    no steps follow

A damaged checkpoint is passed over for the one before it, with a note.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

from engine.students.checkpoints import (
    MARKER,
    RunState,
    complete_steps,
    damage,
    discard,
    read_state,
    unmarked_steps,
)
from engine.students.data_only import data_only
from engine.students.optimizer_states import write_universal
from engine.students.ranks import Ranks
from engine.students.run import Run

How = Literal["new", "exact", "universal", "weights", "finished"]


@dataclass(frozen=True, slots=True)
class Resume:
    """What a run resumes from, and how."""

    how: How
    state: RunState | None = None
    tag: str = ""
    """The directory of the checkpoint, for the engine to load."""
    note: str = ""
    """A note for people."""


def choose(run: Run) -> Resume:
    """How the run resumes. All ranks call it together. A checkpoint of another number of ranks is converted here."""
    training, world = run.spec.training, run.ranks.world
    state = _newest(run)
    if state is None:
        return Resume("new")
    tag = str(state.step)
    if state.finished is not None:
        return Resume("finished", state, tag)
    stage = training.zero_stage if state.stage is None else state.stage
    if stage == training.zero_stage and state.world == world:
        return Resume("exact", state, tag)
    where = f"the checkpoint of step {state.step} was made by {_ranks(state.world)} at ZeRO stage {stage}"
    if stage and training.zero_stage and stage != training.zero_stage:
        reason = f"at stage {training.zero_stage} its optimizer states do not fit"
    elif stage == training.zero_stage == 0:
        return Resume(
            "exact", state, tag, f"{where}; {_ranks(world)} can load it, since each rank has all of it"
        )
    else:
        reason = convert(run.checkpoints, state.step, run.ranks)
        if not reason:
            note = f"{where}; its weights and optimizer states were redistributed to {_ranks(world)}"
            return Resume("universal", state, universal_name(state.step), note)
    note = f"{where}; its weights and step were kept, but {reason}: the optimizer's moments start at zero"
    return Resume("weights", state, tag, note)


def _newest(run: Run) -> RunState | None:
    """The state in the newest checkpoint that is intact. Newer ones that are damaged are named, and count no more."""
    found: tuple[RunState | None, list[str]] = None, []
    if run.ranks.first:
        found = _look(run.checkpoints)
    state, notes = run.ranks.gather(found)[0]
    for note in notes:
        run.note(note)
    return state


def _look(checkpoints: Path) -> tuple[RunState | None, list[str]]:
    state: RunState | None = None
    damaged: list[tuple[int, str]] = []
    steps = complete_steps(checkpoints)
    while steps and state is None:
        step = steps.pop()
        if why := damage(checkpoints, step):
            discard(checkpoints, step)
            damaged.append((step, why))
        else:
            state = read_state(checkpoints, step)
    known = {step for step, _ in damaged}
    damaged += (
        (step, f"its {MARKER} cannot be read")
        for step in unmarked_steps(checkpoints)
        if step not in known and (state is None or step > state.step)
    )
    instead = f"resumed from that of step {state.step}" if state else "training starts again"
    return state, [
        f"the checkpoint of step {step} is damaged ({why}): {instead}"
        for step, why in sorted(damaged, reverse=True)
    ]


def _ranks(number: int) -> str:
    return "1 rank" if number == 1 else f"{number} ranks"


def universal_name(step: int) -> str:
    """The directory of a converted checkpoint, which is removed once it is loaded."""
    return f"{step}.universal"


def convert(checkpoints: Path, step: int, ranks: Ranks) -> str:
    """Converts the checkpoint of step `step` to a universal one; returns why that failed, or nothing."""
    reason = ""
    if ranks.first:
        try:
            _convert(checkpoints / str(step), checkpoints / universal_name(step))
        except Exception as error:  # any failure of DeepSpeed: the weights alone are used
            reason = f"they cannot be converted ({type(error).__name__}: {error})".replace("\n", " ")
    return str(ranks.gather(reason)[0])


def _convert(source: Path, target: Path) -> None:
    if not any(source.glob("*zero_pp_rank_*_optim_states.pt")):
        write_universal(source, target)
        return
    from deepspeed.checkpoint.ds_to_universal import main

    shutil.rmtree(target, ignore_errors=True)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), data_only():
        main(
            SimpleNamespace(
                input_folder=str(source),
                output_folder=str(target),
                num_extract_workers=1,
                num_merge_workers=1,
                keep_temp_folder=False,
                strict=True,
                inject_missing_state=True,
            )
        )
