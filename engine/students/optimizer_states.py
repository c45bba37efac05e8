"""Optimizer states that move between ZeRO and a single rank without it.

One rank that computes in float32 has nothing to partition, and ZeRO's flat copies of weights and gradients would take 12
bytes more per weight: it trains at stage 0 whatever `training.zero_stage` says, and its checkpoints hold the optimizer's
state of each weight. Where the number of ranks changes, the state moves through the files of DeepSpeed's universal
checkpoints:

    zero/<name>/fp32.pt, exp_avg.pt, exp_avg_sq.pt, step.pt   of each trained weight
    zero/optimizer_state.pt                                   settings of the optimizer
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from engine.errors import JobFailed
from engine.students.data_only import read_file

NAMES = "trained"
"""In a checkpoint of stage 0: the names of the trained weights, in the order of the optimizer."""
MOMENTS = ("exp_avg", "exp_avg_sq")


def trained_names(student: torch.nn.Module, optimizer: Any) -> list[str]:
    """The names of the weights of a plain optimizer, in its order."""
    names = {parameter: name for name, parameter in student.named_parameters()}
    return [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]


def write_universal(source: Path, target: Path) -> None:
    """Turns a checkpoint of stage 0 into a universal one.

    Raises:
        JobFailed: it has no optimizer states that fit.
    """
    import deepspeed

    [file] = source.glob("mp_rank_*_model_states.pt")
    saved = read_file(file, mmap=True)
    states = saved["optimizer"].get("state", {})
    names = saved.get(NAMES)
    if names is None or len(names) != len(states):
        raise JobFailed("it does not say which optimizer state belongs to which weight")
    shutil.rmtree(target, ignore_errors=True)
    for number, name in enumerate(names):
        folder = target / "zero" / name
        folder.mkdir(parents=True)
        torch.save({"param": saved["module"][name].float()}, folder / "fp32.pt")
        for moment in MOMENTS:
            torch.save({"param": states[number][moment]}, folder / f"{moment}.pt")
        torch.save(states[number]["step"], folder / "step.pt")
    groups = saved["optimizer"]["param_groups"]
    step = states[0]["step"].clone()
    torch.save(
        {
            "ds_version": deepspeed.__version__,
            "param_groups": groups,
            "optimizer_state_dict": {"state": {0: {"step": step}}, "param_groups": groups},
        },
        target / "zero" / "optimizer_state.pt",
    )
    rest = {name: value for name, value in saved.items() if name not in ("optimizer", "module")}
    for name in (file.name, f"zero_pp_rank_0_{file.name}"):  # of stages 1 and 2, and of stage 3
        torch.save({**rest, "module": {}, "optimizer": None}, target / name)


def read_universal(source: Path, student: torch.nn.Module, optimizer: Any) -> None:
    """Reads a universal checkpoint into a student and its plain optimizer."""
    with torch.no_grad():
        for name, parameter in _trained(student, optimizer):
            folder = source / "zero" / name
            parameter.copy_(_read(folder / "fp32.pt").view_as(parameter))
            optimizer.state[parameter] = {
                "step": _step(source, folder),
                **{moment: _read(folder / f"{moment}.pt").view_as(parameter).clone() for moment in MOMENTS},
            }


def _trained(student: torch.nn.Module, optimizer: Any) -> Iterator[tuple[str, torch.nn.Parameter]]:
    own = dict(student.named_parameters())
    for name in trained_names(student, optimizer):
        yield name, own[name]


def _read(path: Path) -> torch.Tensor:
    found = read_file(path)
    tensor: torch.Tensor = found["param"] if isinstance(found, dict) else found
    return tensor


def _step(source: Path, folder: Path) -> torch.Tensor:
    """The number of steps of a weight: of its own, or with stage 3 that of all."""
    if (folder / "step.pt").is_file():
        step = read_file(folder / "step.pt")
    else:
        whole = read_file(source / "zero" / "optimizer_state.pt")
        step = whole["optimizer_state_dict"]["state"][0]["step"]
    return torch.as_tensor(step, dtype=torch.float32).clone()
