"""The training engine on a GPU machine: `make gpu`, or `python -m bench.gpu [PART …] [--tiny] [-o FILE]`. Needs no internet.

Checks come first and can fail the command: packed rows get the same logits as alone, in bf16 with every installed attention; ZeRO
0 to 3 give the same losses on one device; a killed run resumes with the same losses. Then the bench: tokens per second, MFU and
peak memory of Llama-style models with 0.5 and 1.5 billion random weights on packed rows of 100 to 400 tokens, beside TRL's
SFTTrainer with packing. All models have a chat template, and rows are conversations in it. Parts are `checks`, `0.5B` and
`1.5B`; the file is written after each part. TRL comes from the environment or from `bench/.trl` (installed by pip if possible,
or copied). `--tiny` runs everything with toy models on a CPU: it shows that the command works, and its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from bench.students import Size, Trained, make_base, make_run, ours, questions, rows, start, theirs
from bench.tables import Row, Table, ratio
from engine.students.progress_file import FILE, read_events

CHECK = Path(__file__).with_name("gpu_logits.py")
TARGET = Path(__file__).with_name("RESULTS-gpu.md")
TOY = Size(name="toy", layers=2, width=64, inner=128, heads=4, groups=2, vocabulary=1_000)
SMALL = Size(name="0.1 B", layers=12, width=768, inner=2_048, heads=12, groups=4, vocabulary=32_000)
MODELS = {
    "0.5B": Size(name="0.5 B", layers=28, width=1_024, inner=4_096, heads=16, groups=8, vocabulary=32_000),
    "1.5B": Size(name="1.5 B", layers=30, width=2_048, inner=5_632, heads=16, groups=8, vocabulary=32_000),
}
PARTS = ("checks", *MODELS)
BYTES = 24
"""Disk bytes per weight: the base (4) and a checkpoint (14) with its export (2), or TRL's (16)."""
ROUNDING = 0.02
"""Relative difference of bf16 losses that a different order of additions can cause."""


class Gpu:
    """The checks and benches in one scratch folder."""

    def __init__(self, scratch: Path, *, tiny: bool) -> None:
        self._scratch = scratch
        self._tiny = tiny
        self._device = "cpu" if tiny else "cuda"
        self._threads = max(1, min(16, (os.cpu_count() or 2)))
        self._precision = "fp32" if tiny else "bf16"
        self._taught = rows(60 if tiny else 4_000, *((10, 30) if tiny else (100, 400)), words=3_000)
        self.failed: list[str] = []

    def checks(self) -> Table:
        """The correctness checks."""
        base = self._scratch / "small"
        make_base(base, TOY if self._tiny else SMALL, self._taught, chat=True)
        found = [*self._logits(base), *self._stages(base), self._killed(base)]
        about = "A failed check is marked and fails the command. Losses in bf16 can differ with the order of additions."
        return Table("Checks", about, found)

    def _settings(self, steps: int, **more: object) -> dict[str, object]:
        tokens = 256 if self._tiny else 16_384
        return {
            **{"steps": steps, "batch_tokens": tokens, "precision": self._precision, "max_length": 1_024},
            **{"packing": True, "checkpoint_steps": 10_000, "learning_rate": 3e-4, **more},
        }

    def _logits(self, base: Path) -> list[Row]:
        done = subprocess.run(
            [sys.executable, "-P", str(CHECK), str(base), self._device],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            self.failed.append("logits")
            return [Row("packed rows against rows alone", f"FAILED: {done.stderr.strip().splitlines()[-1]}")]
        found = json.loads(done.stdout.strip().splitlines()[-1])
        self.failed += [f"logits, {name}" for name, wrong in found.items() if wrong]
        return [
            Row(f"packed rows against rows alone, {name}", f"FAILED: {wrong}" if wrong else "the same logits")
            for name, wrong in found.items()
        ]

    def _stages(self, base: Path) -> list[Row]:
        runs: dict[int, Trained] = {}
        for stage in (0, 1, 2, 3):
            run = make_run(
                self._scratch / f"stage{stage}",
                str(base),
                self._taught,
                [],
                self._settings(20, zero_stage=stage),
                form=None,
            )
            runs[stage] = ours(run, device=self._device, threads=self._threads)
            shutil.rmtree(run)
        found = []
        for stage, run in runs.items():
            worst = differ(run.losses, runs[0].losses)
            if worst > ROUNDING:
                self.failed.append(f"stage {stage}")
            found.append(
                Row(
                    f"ZeRO {stage}, one device: greatest relative difference of losses to stage 0",
                    f"{'FAILED: ' if worst > ROUNDING else ''}{worst:.1e}",
                    f"{run.memory_mb:,.0f} MB, {run.tokens_per_second:,.0f} tokens/s",
                )
            )
        return found

    def _killed(self, base: Path) -> Row:
        settings = self._settings(40, zero_stage=2, checkpoint_steps=10)
        whole = make_run(self._scratch / "whole", str(base), self._taught, [], settings, form=None)
        reference = ours(whole, device=self._device, threads=self._threads)
        shutil.rmtree(whole)
        run = make_run(self._scratch / "killed", str(base), self._taught, [], settings, form=None)
        process = start(run, self._device, self._threads)
        while process.poll() is None:
            events, _ = read_events(run / FILE)
            if any(event["event"] == "checkpoint" for event in events):
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.02)
        killed = process.wait() < 0
        begun = time.time()
        process = start(run, self._device, self._threads)
        process.wait()
        events, _ = read_events(run / FILE)
        resumed = [event["resumed_from"] for event in events if event["event"] == "loaded"]
        losses = {event["step"]: event["loss"] for event in events if event["event"] == "step"}
        worst = differ(losses, reference.losses)
        good = killed and worst <= (1e-6 if self._tiny else ROUNDING) and time.time() > begun
        if not good:
            self.failed.append("killed")
        return Row(
            "SIGKILL, gone on: greatest relative difference of losses",
            f"{'' if good else 'FAILED: '}{worst:.1e}",
            f"from step {resumed[-1]}" if killed else "it ended before it was killed",
        )

    def bench(self, part: str) -> Table:
        """Speed and memory with a model of this size.

        Raises:
            SystemExit: the disk is too small for its checkpoint.
        """
        steps, length, lines = (12, 256, 1) if self._tiny else (40, 4_096, 4)
        size = TOY if self._tiny else MODELS[part]
        base = self._scratch / size.name
        parameters = make_base(base, size, self._taught, chat=True)
        if (free := shutil.disk_usage(self._scratch).free) < BYTES * parameters:
            raise SystemExit(
                f"{size.name} needs {BYTES * parameters / 1e9:.0f} GB of disk, and {self._scratch.parent} has {free / 1e9:.0f} GB free: "
                "have TMPDIR name another folder"
            )
        ways: list[tuple[str, int, object]] = [("ZeRO 0", 0, "auto"), ("ZeRO 2", 2, "auto")]
        if not any(map(find_spec, ("flash_attn", "flash_attn_interface"))):
            ways.append(("ZeRO 0, packed all the same", 0, True))  # auto does not, without flash attention
        mine: dict[str, Trained] = {}
        other = None
        for name, stage, packing in ways:
            run = make_run(
                self._scratch / f"{size.name} {name}",
                str(base),
                self._taught,
                questions(self._taught, 1),
                self._settings(steps, zero_stage=stage, packing=packing),
                {"max_new_tokens": 8},
                form=None,
            )
            if not mine:
                other = theirs(
                    run,
                    base,
                    device=self._device,
                    threads=self._threads,
                    steps=steps,
                    batch=lines,
                    length=length,
                    packing=True,
                )
                shutil.rmtree(run / "trl", ignore_errors=True)
            mine[name] = ours(run, device=self._device, threads=self._threads)
            shutil.rmtree(run)
        shutil.rmtree(base)
        found: list[Row] = []
        for name, one in mine.items():
            found += beside(f"{size.name} ({parameters / 1e9:.2f} B), {name}", one, other)
        about = (
            f"Measured: Coterie on one device; reference: TRL's SFTTrainer, packing on, in the same run. {16_384 if not self._tiny else 256} "
            "tokens a step at most, rows of 100 to 400 tokens in a chat template, weights in fp32 with bf16 computation on both sides, no activation checkpointing. MFU: "
            "6 x weights and attention over the maker's dense bf16 peak."
        )
        return Table(
            f"Training on a GPU, {size.name}"
            if not self._tiny
            else "Training (toys on a CPU: no measurement)",
            about,
            found,
        )


def beside(name: str, one: Trained, other: Trained | None) -> list[Row]:
    """The figures of a model."""
    gone = other is None or other.said.startswith("failed")
    why = "TRL is not installed" if other is None else other.said
    what = (
        ("tokens per second", "tokens_per_second", ",.0f"),
        ("peak memory, MB", "memory_mb", ",.0f"),
        ("start to first step, s", "first_step_s", ".1f"),
    )
    found = [
        Row(
            f"{name}: {words}",
            f"{getattr(one, field):{form}}",
            why if gone else f"{getattr(other, field):{form}}",
            "" if gone else ratio(getattr(one, field), getattr(other, field)),
        )
        for words, field, form in what
    ]
    mfu = "unknown device" if one.mfu is None else f"{100 * one.mfu:.1f} %"
    theirs_ = (
        ""
        if gone or one.mfu is None or other is None
        else f"{100 * one.mfu * other.tokens_per_second / one.tokens_per_second:.1f} %"
    )
    return [*found, Row(f"{name}: MFU", mfu, theirs_), Row(f"{name}: how", one.said, why)]


def differ(found: dict[int, float], expected: dict[int, float]) -> float:
    """The greatest relative difference between two loss curves; infinite if steps are missing."""
    if found.keys() != expected.keys():
        return float("inf")
    return max(abs(found[step] - loss) / abs(loss) for step, loss in expected.items())


def machine() -> str:
    """The device, as the driver names it."""
    try:
        asked = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        return (
            subprocess.run(asked, capture_output=True, text=True, check=True)
            .stdout.strip()
            .replace("\n", "; ")
        )
    except (OSError, subprocess.CalledProcessError):
        return "no GPU"


def main() -> int:
    """Checks, measures and writes the file; returns 1 if a check failed, 2 if there is no GPU."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"run only these: {', '.join(PARTS)}")
    parser.add_argument(
        "--tiny", action="store_true", help="toys on a CPU: shows that the command works, measures nothing"
    )
    parser.add_argument(
        "-o", "--output", type=Path, help="file to write (bench/RESULTS-gpu.md; none with --tiny)"
    )
    options = parser.parse_args()
    if unknown := [part for part in options.parts if part not in PARTS]:
        parser.error(f"unknown part {', '.join(unknown)}; expected one of: {', '.join(PARTS)}")
    if not options.tiny and machine() == "no GPU":
        print(
            "no GPU found (nvidia-smi lists none); `python -m bench.gpu --tiny` runs the same steps with toys on a CPU"
        )
        return 2
    target = options.output or (None if options.tiny else TARGET)
    text = f"# Results on a GPU\n\n<!-- Written by `make gpu`; do not edit. -->\n\n- Machine: {machine()}\n"
    with tempfile.TemporaryDirectory() as scratch:
        gpu = Gpu(Path(scratch), tiny=options.tiny)
        for part in dict.fromkeys(options.parts or (PARTS[:2] if options.tiny else PARTS)):
            table = (gpu.checks() if part == "checks" else gpu.bench(part)).markdown()
            print(table, flush=True)
            text += f"\n{table}"
            if target:
                target.write_text(text, encoding="utf-8")
    if gpu.failed:
        print(f"FAILED: {', '.join(gpu.failed)}")
    return 1 if gpu.failed else 0


if __name__ == "__main__":
    sys.exit(main())
