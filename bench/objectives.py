"""Memory and time of the head for each objective: `python -m bench.objectives [--vocabulary V] [--tokens N]`.

One decoder layer with a head of V x 512 learns N supervised tokens, whole and in chunks of a quarter; a distribution has five tokens
and a tail. Each case has a process of its own. Memory is the peak of a forward and backward pass above what the process had before
it; time is the least of several passes: CPU seconds, on a GPU those of the clock. The last column compares with `tokens`, computed likewise.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from engine.students.objectives import OBJECTIVES
from engine.students.token_rows import TokenRow

WIDTH = 512
KNOWN = 5
PASSES = 3
CHUNKS = (1, 4)


def rows(objective: str, vocabulary: int, tokens: int) -> list[TokenRow]:
    """Rows of 64 supervised tokens after a prompt of one."""
    chance = np.random.default_rng(0)
    found = []
    for _ in range(max(1, tokens // 64)):
        ids = chance.integers(0, vocabulary, 65).astype(np.int64)
        columns: tuple[np.ndarray, ...] = ()
        if OBJECTIVES[objective].reads_distributions:
            known = chance.integers(0, vocabulary, (64, KNOWN + 1)).astype(np.int32)
            known[:, 0] = ids[1:]
            columns = known, np.full(known.shape, 0.9 / (KNOWN + 1), dtype=np.float32)
        found.append(TokenRow(ids, 1, columns=columns))
    return found


def measure(objective: str, vocabulary: int, tokens: int, chunks: int) -> dict[str, float]:
    """Megabytes and seconds of one case, in this process."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from engine.students.architecture import DECODER
    from engine.students.objective import Student
    from engine.students.packing import on_device

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=8,
        tie_word_embeddings=True,
    )
    student = Student(LlamaForCausalLM(config).to(device), DECODER, objective=OBJECTIVES[objective])
    batch = on_device(DECODER.collate(rows(objective, vocabulary, tokens), 0), device)
    few = on_device(DECODER.collate(rows(objective, vocabulary, 64), 0), device)
    student(*few, 1.0, chunks).backward()  # gradients of the weights are allocated
    peak, seconds = 0.0, []
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    for _ in range(PASSES):
        before = _begin(device)
        begun = clock()
        student(*batch, 1.0, chunks).backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(clock() - begun)
        peak = max(peak, _peak(device) - before)
    return {"mb": peak / 2**20, "seconds": min(seconds)}


def _begin(device: object) -> float:
    """Forgets the peak; the bytes in use."""
    import torch

    if str(device).startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        return float(torch.cuda.memory_allocated())
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak(device: object) -> float:
    import torch

    return float(torch.cuda.max_memory_allocated()) if str(device).startswith("cuda") else _status("VmHWM")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * int(next(line for line in lines if line.startswith(name)).split()[1])


def main(argv: list[str] | None = None) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.objectives", description=__doc__)
    parser.add_argument("--vocabulary", type=int, default=49_152)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--case", nargs=2, metavar=("OBJECTIVE", "CHUNKS"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.case:
        name, chunks = options.case
        print(json.dumps(measure(name, options.vocabulary, options.tokens, int(chunks))))
        return 0
    print("| objective | chunks | peak MB | seconds | beside tokens |\n|---|---|---|---|---|")
    for chunks in CHUNKS:
        first: dict[str, float] = {}
        for name in OBJECTIVES:
            command = [sys.executable, "-m", "bench.objectives", "--case", name, str(chunks)]
            command += ["--vocabulary", str(options.vocabulary), "--tokens", str(options.tokens)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            first = first or found
            beside = (
                f"{found['mb'] / first['mb']:.2f} × memory, {found['seconds'] / first['seconds']:.2f} × time"
            )
            print(
                f"| {name} | {chunks} | {found['mb']:,.0f} | {found['seconds']:.2f} | {beside} |", flush=True
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
