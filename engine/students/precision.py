"""Whether a run computes in bf16 or float32.

A CPU may have instructions for bf16 (AMX, AVX512-BF16, Arm's BF16) and still be slower with them, in a virtual machine for
example: with `precision = "auto"` the first rank tries both for a moment. Without such instructions bf16 takes many times
as long as float32, and nothing is tried; nor for small bases, where a step's fixed costs decide. Precision changes the numbers, so a run keeps what its first process chose
(`precision.json` in its directory; none: float32 if there are checkpoints).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import torch

from engine.config.students import TrainingConfig
from engine.students import checkpoints
from engine.students.run import Run
from engine.students.sizes import size_of

FILE = "precision.json"
INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "svebf16", "bf16")
"""Flags of CPUs in /proc/cpuinfo, the strongest first."""
FASTER = 1.2
"""bf16 is taken if products are at least this many times as fast: norms, softmax and the optimizer gain nothing."""
SMALL_BYTES = 40_000_000
"""Bases whose files are smaller, and built-in ones, stay in float32: the optimizer of bf16 costs more than its products save.
nano, micro and mini took 64, 165 and 650 ms a step in bf16, 20, 60 and 500 ms in float32, on a CPU with AMX that multiplied
3.2 times as fast in bf16."""
TRIAL_S = 0.1
"""Seconds of one precision's trial; the product that is running then ends."""
_ROWS, _WIDTH, _INNER = 128, 512, 1024


def computes_in_bf16(run: Run, device: torch.device) -> bool:
    """Whether to compute in bf16. All ranks call it together."""
    if run.spec.training.precision != "auto" or device.type == "cuda":
        return expects_bf16(run.spec.training, run.spec.base, device)
    choice = (False, "")
    if run.ranks.first:
        base = run.spec.base
        choice = choose(run.directory, bf16_instructions(), began=_began(run), small=is_small(base))
    bf16, why = run.ranks.gather(choice)[0]
    if why:
        run.note(why)
    return bool(bf16)


def expects_bf16(training: TrainingConfig, base: str, device: torch.device) -> bool:
    """Whether a run of a base that begins now would compute in bf16."""
    if training.precision != "auto":
        return training.precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return not is_small(base) and bool(bf16_instructions()) and speed_ratio() >= FASTER


def is_small(base: str) -> bool:
    """Whether a base is built in, or a file or directory of little weight. What is not here counts as large."""
    if size_of(base) is not None:
        return True
    path = Path(base).expanduser()
    files = [path] if path.is_file() else list(path.glob("*.safetensors")) if path.is_dir() else []
    return bool(files) and sum(file.stat().st_size for file in files) < SMALL_BYTES


def choose(
    directory: Path,
    instructions: str,
    *,
    began: bool,
    small: bool = False,
    compare: Callable[[], float] | None = None,
) -> tuple[bool, str]:
    """Whether a run computes in bf16 on this CPU, and a note that says why; empty where there was no choice.

    Args:
        directory: the directory of the run, which keeps the choice.
        instructions: the CPU's instructions for bf16; empty if it has none.
        began: whether it has checkpoints.
        small: whether its base is, so that float32 is faster anyway.
        compare: measures how many times as fast bf16 is.
    """
    try:
        kept = bool(json.loads((directory / FILE).read_bytes())["bf16"])
    except (OSError, ValueError, KeyError, TypeError):
        kept = None
    if kept is not None or began:
        if kept and not instructions:
            return (
                True,
                "bf16 as before, but this CPU has no instructions for it and needs many times as long",
            )
        return bool(kept), ""
    if not instructions or small:
        return False, ""
    ratio = (compare or speed_ratio)()
    bf16 = ratio >= FASTER
    checkpoints.replace(directory / FILE, json.dumps({"bf16": bf16, "speed": round(ratio, 2)}).encode())
    taken = "bf16" if bf16 else "float32"
    return bf16, (
        f'precision "auto" is {taken}: this CPU has {instructions}, and products in bf16 measured {ratio:.1f} times as fast'
        f" as in float32 (bf16 from {FASTER})"
    )


def bf16_instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The flag of this CPU's strongest instructions for bf16; empty if it has none or does not say."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    found = {
        flag
        for line in lines
        if line.startswith(("flags", "Features"))
        for flag in line.partition(":")[2].split()
    }
    return next((flag for flag in INSTRUCTIONS if flag in found), "")


def speed_ratio() -> float:
    """How many times as fast the products of a training step are in bf16 as in float32, on this CPU with the threads of this process."""
    return _seconds(torch.float32) / _seconds(torch.bfloat16)


def _seconds(dtype: torch.dtype) -> float:
    """The least seconds of the three products of a linear layer in a step: forward, and the gradients of input and weight."""
    hidden = torch.randn(_ROWS, _WIDTH, generator=torch.Generator().manual_seed(0)).to(dtype)
    weight = torch.randn(_INNER, _WIDTH, generator=torch.Generator().manual_seed(1)).to(dtype)
    above = hidden @ weight.T
    products: tuple[Callable[[], torch.Tensor], ...] = (
        lambda: hidden @ weight.T,
        lambda: above @ weight,
        lambda: above.T @ hidden,
    )
    least = [float("inf")] * len(products)
    end = time.perf_counter() + TRIAL_S
    while True:
        for number, product in enumerate(products):
            begun = time.perf_counter()
            product()
            now = time.perf_counter()
            least[number] = min(least[number], now - begun)
            if now > end:
                known = [each for each in least if each < float("inf")]
                return sum(known) / len(known)


def _began(run: Run) -> bool:
    return bool(checkpoints.complete_steps(run.checkpoints))
