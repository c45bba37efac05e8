"""Shared by the training benches: rows, base models, a run of Coterie, and the same work with TRL."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine.config.students import EvaluationConfig, TrainingConfig
from engine.forms import FIRST, FormConfig
from engine.methods import METHODS, TrainRow
from engine.students.launch import rank_commands
from engine.students.progress_file import FILE, read_events
from engine.students.spec import EvalRow, Spec, write_rows

HERE = Path(__file__).parent
PACKAGES = HERE / ".trl"
"""TRL and the packages it needs beyond the environment: installed once by pip; can be copied to a machine without internet."""
PINS = (
    *(
        "trl==1.16.0",
        "datasets==5.2.0",
        "dill==0.4.1",
        "multiprocess==0.70.19",
        "xxhash==4.1.0",
        "pandas==3.1.1",
    ),
    *("python-dateutil==4.0.0", "pytz==2026.6", "six==1.17.0"),
)
DEADLINE_S = 3_000.0
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""The chat template of the models that `make_base` writes with `chat`."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """A Llama-style model."""

    name: str
    layers: int
    width: int
    inner: int
    heads: int
    groups: int
    vocabulary: int


@dataclass(kw_only=True)
class Trained:
    """Measurements of a training. Speeds exclude the first steps."""

    first_step_s: float
    tokens_per_second: float
    tokens_per_step: float
    save_s: float
    memory_mb: float
    tokens_per_cpu_second: float = float("nan")
    """Per CPU second of one rank's process, so other programs on the machine do not matter."""
    tokens: int = 0
    """Tokens of all rows."""
    losses: dict[int, float] = field(default_factory=dict)
    mfu: float | None = None
    said: str = ""


def rows(count: int, low: int, high: int, words: int, seed: int = 0) -> list[TrainRow]:
    """Rows of `low` to `high` words (about one token each); a third of the words is the question."""
    chance = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    known = sorted({"".join(chance.choices(letters, k=chance.randint(3, 7))) for _ in range(words)})

    def text(length: int) -> str:
        return " ".join(chance.choices(known, k=length))

    found = []
    for number in range(count):
        length = chance.randint(low, high)
        found.append(
            TrainRow(
                sample_id=number,
                question_id=number,
                question=text(length // 3),
                rationale=text(length - length // 3 - 4),
                answer=chance.choice(("yes", "no")),
            )
        )
    return found


def questions(taught: list[TrainRow], count: int) -> list[EvalRow]:
    """Test questions from the rows."""
    return [
        EvalRow.model_validate(
            {
                **{
                    "question_id": row.question_id,
                    "task": "bench",
                    "split": "test",
                    "question": row.question,
                },
                **{"gold": row.answer, "answer_format": "yes_no"},
            }
        )
        for row in taught[:count]
    ]


def make_base(
    directory: Path, size: Size, taught: list[TrainRow], *, bf16: bool = False, chat: bool = False
) -> int:
    """Writes a model with random weights and a tokenizer trained on the rows; returns the number of parameters.

    `chat`: the tokenizer has a chat template and its special tokens.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from engine.forms._text import TextOutline
    from engine.forms.paper import CONTINUED
    from engine.students.tokenizer import make_tokenizer, row_texts

    tokenizer = make_tokenizer(
        row_texts(taught, TextOutline(CONTINUED, METHODS["fine-tune-cot"])), min(size.vocabulary, 8_000)
    )
    if chat:
        tokenizer.add_special_tokens(
            {"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>"]}
        )
        tokenizer.chat_template = CHATML
    config = LlamaConfig(
        vocab_size=max(size.vocabulary, len(tokenizer)),
        hidden_size=size.width,
        intermediate_size=size.inner,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.groups,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    if bf16:
        model.bfloat16()
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return int(sum(parameter.numel() for parameter in model.parameters()))


def make_run(
    directory: Path,
    base: str,
    taught: list[TrainRow],
    asked: list[EvalRow],
    training: dict[str, Any],
    evaluation: dict[str, Any] | None = None,
    *,
    form: FormConfig | None = FIRST,
) -> Path:
    """Writes a run directory; dev is not evaluated. `form`: None for the default one of its base."""
    directory.mkdir(parents=True)
    digest = write_rows(directory / "manifest.jsonl", taught)
    write_rows(directory / "questions.jsonl", asked)
    spec = Spec(
        run_id=1,
        student="bench",
        scope="bench",
        trigger="complete",
        method="fine-tune-cot",
        base=base,
        training=TrainingConfig(**training),
        evaluation=EvaluationConfig(**{"dev_evaluations": 0, **(evaluation or {})}),
        manifest_digest=digest,
        form=form,
    )
    (directory / "spec.json").write_text(spec.to_json(), encoding="utf-8")
    return directory


def start(run: Path, device: Any, threads: int) -> subprocess.Popen[bytes]:
    """Starts a run's process as the daemon does."""
    [launch] = rank_commands(run, TrainingConfig(), device=device, threads=threads)
    with (run / "log.txt").open("ab") as log:
        return subprocess.Popen(
            launch.argv, env={**launch.env, "HF_HUB_OFFLINE": "1"}, stdout=log, stderr=subprocess.STDOUT
        )


def ours(run: Path, *, device: Any, threads: int) -> Trained:
    """Trains a run and waits for its end."""
    begun = time.time()
    process = start(run, device, threads)
    clocks = watched(process, run)
    events, _ = read_events(run / FILE)
    if process.returncode or events[-1]["event"] != "done":
        raise SystemExit(
            f"the run failed: {events[-1] if events else ''}\n{(run / 'log.txt').read_text()[-3000:]}"
        )
    return measured(run, begun, clocks)


def watched(process: subprocess.Popen[bytes], run: Path) -> dict[int, float]:
    """Waits for a run's end; returns the CPU seconds of its process at each reported step."""
    found: dict[int, float] = {}
    offset, deadline = 0, time.monotonic() + DEADLINE_S
    while process.poll() is None:
        events, offset = read_events(run / FILE, offset)
        told = [event["step"] for event in events if event["event"] == "step"]
        if told and (spent := cpu_seconds(process.pid)) is not None:
            found[told[-1]] = spent
        if time.monotonic() > deadline:
            process.kill()
        time.sleep(0.002)
    return found


def cpu_seconds(pid: int) -> float | None:
    """CPU seconds of a process with all its threads; None if it is gone or the system does not report them."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(run: Path, begun: float, clocks: dict[int, float]) -> Trained:
    """The measurements from a run's events and the CPU times read meanwhile."""
    events, _ = read_events(run / FILE)
    steps = [event for event in events if event["event"] == "step"]
    [loaded] = [event for event in events if event["event"] == "loaded"]
    saves = [event["seconds"] for event in events if event["event"] == "checkpoint"]
    # Steps are reported in groups; the last step of a group ended when it was reported.
    ends = [
        one for one, two in zip(steps, [*steps[1:], None], strict=True) if not two or two["at"] > one["at"]
    ]
    ends = [end for end in ends if end["step"] >= 5] or ends
    one, two = ends[0], ends[-1]
    tokens = (two["epoch"] - one["epoch"]) * loaded["tokens"]
    seen = sorted(step for step in clocks if step >= 5)
    spent = clocks[seen[-1]] - clocks[seen[0]] if len(seen) > 1 else 0.0
    each = tokens / max(1, two["step"] - one["step"])
    mfus = [step["mfu"] for step in steps if step["step"] > one["step"] and step["mfu"]]
    return Trained(
        first_step_s=steps[0]["at"] / 1000 - begun,
        tokens_per_second=tokens / max(1e-9, (two["at"] - one["at"]) / 1000),
        tokens_per_step=each,
        tokens_per_cpu_second=each * (seen[-1] - seen[0]) / spent if spent else float("nan"),
        save_s=saves[-1],
        memory_mb=max(step["memory_mb"] for step in steps),
        tokens=loaded["tokens"],
        losses={step["step"]: step["loss"] for step in steps},
        mfu=sum(mfus) / len(mfus) if mfus else None,
        said=f"{loaded['attention']}, {'packed' if loaded['packed'] else 'padded'}",
    )


def packages() -> str | None:
    """A folder with TRL for PYTHONPATH; empty if the environment has TRL, None if it cannot be installed."""
    if find_spec("trl"):
        return ""
    if not (PACKAGES / "trl").is_dir():
        command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
        command += ["--retries", "1", "--timeout", "15"]  # fails soon without internet
        done = subprocess.run([*command, "--target", str(PACKAGES), *PINS])
        if done.returncode:
            return None
    return str(PACKAGES)


def theirs(
    run: Path,
    base: Path,
    *,
    device: str,
    threads: int,
    steps: int,
    batch: int,
    length: int,
    packing: bool,
    lora_rank: int = 0,
) -> Trained | None:
    """TRL's SFTTrainer on the rows of a run, `batch` rows (or packed lines of `length` tokens) per step; None without TRL."""
    folder = packages()
    if folder is None:
        return None
    settings = {
        **{"run": str(run), "base": str(base), "device": device, "steps": steps},
        **{"batch": batch, "length": length, "packing": packing, "output": str(run / "trl")},
        "lora_rank": lora_rank,
    }
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (folder, str(HERE.parent))))}
    env |= {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    env |= {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}
    begun = time.time()
    done = subprocess.run(
        [sys.executable, "-P", str(HERE / "peer_trl.py"), json.dumps({**settings, "begun": begun})],
        env=env,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    if done.returncode:
        return Trained(
            **dict.fromkeys(
                ("first_step_s", "tokens_per_second", "tokens_per_step", "save_s", "memory_mb"), float("nan")
            ),
            said=f"failed: {done.stderr.strip().splitlines()[-1][:150] if done.stderr.strip() else done.returncode}",
        )
    return Trained(**json.loads(done.stdout.strip().splitlines()[-1]))
