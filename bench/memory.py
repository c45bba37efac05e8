"""Memory of training on one device, in bytes per weight: `python -m bench.memory BASE [NAME …]`.

BASE is a local directory or GGUF file of a real size, such as SmolLM2-135M-Instruct. Rows are short, so activations are small
beside weights, gradients and optimizer states. Each run saves a checkpoint, resumes from it in another process, exports and
answers a question; the peak of the two processes counts, without what the imports alone take.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.students import make_run, questions, start
from engine.methods import TrainRow
from engine.students.launch import rank_environment
from engine.students.progress_file import FILE, read_events

WAYS: dict[str, dict[str, Any]] = {
    "full": {"zero_stage": 2},
    "lora": {"zero_stage": 2, "lora_rank": 8},
}
WANTED = {"full": 18, "lora": 6}
IMPORTS = "from engine.students.train import import_libraries; import_libraries(); print(open('/proc/self/status').read())"


def measure(base: str, training: dict[str, Any]) -> dict[str, float]:
    """Peak bytes per weight of a run that is stopped and resumed: in training, and afterwards."""
    taught = [
        TrainRow(
            sample_id=number,
            question_id=number,
            question="How many apples?",
            rationale="two and one is three",
            answer="yes",
        )
        for number in range(32)
    ]
    with tempfile.TemporaryDirectory() as scratch:
        settings = {"steps": 6, "batch_tokens": 32, "checkpoint_steps": 3, **training}
        run = make_run(
            Path(scratch) / "run", base, taught, questions(taught, 1), settings, {"max_new_tokens": 2}
        )
        found = {"first": _peak(run, stop_at=4), "resumed": _peak(run)}
        events, _ = read_events(run / FILE)
        loaded = next(event for event in events if event["event"] == "loaded")
        trained = max(event["memory_mb"] for event in events if event["event"] == "step") * 2**20
    if events[-1]["event"] != "done":
        raise SystemExit(f"the run failed: {events[-1]}")
    imports = _imports()
    found["steps"] = trained
    return {name: (peak - imports) / loaded["parameters"] for name, peak in found.items()}


def _peak(run: Path, stop_at: int | None = None) -> float:
    """The peak resident memory of one start of the run, in bytes. `stop_at`: it is stopped once that step is reported."""
    process = start(run, "cpu", 1)
    asked = False
    while True:
        pid, _, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            return usage.ru_maxrss * 1024.0
        if stop_at is not None and not asked:
            events, _ = read_events(run / FILE)
            if any(event["event"] == "step" and event["step"] >= stop_at for event in events):
                process.send_signal(signal.SIGTERM)
                asked = True
        time.sleep(0.02)


def _imports() -> float:
    """The peak resident memory of a process that only imports what a run imports, in bytes."""
    env = rank_environment(os.environ, device="cpu", threads=1)
    done = subprocess.run(
        [sys.executable, "-P", "-c", IMPORTS], env=env, capture_output=True, text=True, check=True
    )
    [line] = [line for line in done.stdout.splitlines() if line.startswith("VmHWM")]
    return float(line.split()[1]) * 1024


def main(argv: list[str]) -> int:
    """Prints the bytes per weight of each way; 1 if one needs more than it should."""
    base, *names = argv
    wrong = 0
    for name in names or WAYS:
        found = measure(base, WAYS[name])
        shown = ", ".join(f"{when} {value:.1f}" for when, value in found.items())
        print(f"{name}: bytes per weight: {shown} (wanted: at most {WANTED[name]})", flush=True)
        wrong += max(found.values()) > WANTED[name]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
