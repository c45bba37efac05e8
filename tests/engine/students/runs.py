"""Run directories, tiny base models, and real training processes for the tests of this room."""

from __future__ import annotations

import atexit
import itertools
import json
import math
import os
import random
import re
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from engine.config.students import EvaluationConfig, TrainingConfig
from engine.forms import FIRST, FormSettings, TokenForm, form_of
from engine.forms.base import BaseFacts
from engine.methods import METHODS, TrainRow
from engine.students.launch import rank_commands, rank_environment
from engine.students.progress_file import FILE, read_events
from engine.students.spec import EvalRow, Spec, write_rows
from engine.students.targets import FILE as TARGETS
from engine.students.targets import digest_of_targets, targets_bytes
from state.logprobs import Logprobs, pack

COT = METHODS["fine-tune-cot"]
PAPER = form_of(FIRST).outline(FIRST, COT, BaseFacts())
ENCODER_DECODERS = ("t5", "bart")
CORE = ("gpt2", "llama", "qwen", *ENCODER_DECODERS)
BASES = (*CORE, "qwen3", "gemma", "phi")
PEOPLE = ("Ann", "Bob", "Carla", "Dan", "Eve", "Finn")


def rows() -> tuple[list[TrainRow], list[EvalRow]]:
    """60 training rows of different lengths, 8 dev and 9 test questions of two tasks."""
    chance = random.Random(5)
    train, held = [], []
    for number in range(77):
        flips = [(chance.choice(PEOPLE), chance.random() < 0.5) for _ in range(chance.randint(1, 5))]
        question = " ".join(f"{name} {'flips' if flip else 'waits'}." for name, flip in flips) + " Heads?"
        sides = itertools.accumulate((flip for _, flip in flips), lambda up, flip: up ^ flip, initial=True)
        steps = [
            f"{name}: {'heads' if up else 'tails'}."
            for (name, _), up in zip(flips, [*sides][1:], strict=True)
        ]
        answer = "yes" if sum(flip for _, flip in flips) % 2 == 0 else "no"
        if number < 60:
            row = TrainRow(
                sample_id=number,
                question_id=number,
                question=question,
                rationale=" ".join(steps),
                answer=answer,
            )
            train.append(row)
        else:
            held.append(
                EvalRow(
                    question_id=number,
                    task=("coin", "flip")[number % 2],
                    split="dev" if number < 68 else "test",
                    question=question,
                    gold=answer,
                    answer_format="yes_no",
                )
            )
    return train, held


def by_teachers() -> list[TrainRow]:
    """The training rows, by two teachers in turn, of which one is wrong about every third; the first row has none."""
    found = [rows()[0][0]]
    for number, row in enumerate(rows()[0][1:]):
        told = {"teacher": "ab"[number % 2], "task": "coin"}
        if number % 6 == 1:
            told |= {"gold": row.answer, "answer": "no" if row.answer == "yes" else "yes"}
        found.append(row.model_copy(update=told))
    return found


def paper(tokenizer, encoder_decoder: bool = False, method=COT) -> TokenForm:
    """The paper's form with a tokenizer."""
    return form_of(FIRST).open(FIRST, method, tokenizer, encoder_decoder=encoder_decoder, note=print)


def make_run(
    directory: Path,
    *,
    base: str = "builtin:nano",
    training: dict | None = None,
    evaluation: dict | None = None,
    train: list[TrainRow] | None = None,
    asked: Sequence[EvalRow] = (),
    splits: int = 1,
    form: FormSettings | None = FIRST,
    taught_distributions: bool = False,
    formats: tuple[str, ...] = (),
) -> Path:
    """A run directory of 12 steps, with two dev evaluations and a checkpoint every 5 steps. `asked`: more questions.

    `taught_distributions`: the file `targets.bin` has a distribution for each word of the rationales.
    """
    directory.mkdir(parents=True)
    taught, held = rows()
    digest = write_rows(directory / "manifest.jsonl", taught if train is None else train)
    write_rows(directory / "questions.jsonl", [*held, *asked])
    distributions = {row.sample_id: [by_word(row)] for row in taught} if taught_distributions else {}
    (directory / TARGETS).write_bytes(targets_bytes(distributions))
    spec = Spec(
        run_id=7,
        student="small",
        scope="joint",
        trigger="complete",
        method="fine-tune-cot",
        base=base,
        form=form,
        training=TrainingConfig(
            **{
                "steps": 12,
                "precision": "fp32",
                "learning_rate": 3e-3,
                "batch_tokens": 160,
                "checkpoint_steps": 5,
            }
            | {"keep_checkpoints_finished": 2}
            | (training or {})
        ),
        evaluation=EvaluationConfig(**{"dev_evaluations": 2, "max_new_tokens": 12} | (evaluation or {})),
        manifest_digest=digest,
        formats=formats,
        targets_digest=digest_of_targets(distributions),
        splits=splits,
    )
    (directory / "spec.json").write_text(spec.to_json())
    return directory


def by_word(row: TrainRow) -> bytes:
    """Log-probabilities of a teacher that knows words and their spaces: each has .6, and another word .3."""
    words = re.findall(r" ?[^\s.:]+|[.:]", f" {row.rationale}")
    top = tuple(
        ((word, math.log(0.6)), (words[number - 1], math.log(0.3))) for number, word in enumerate(words)
    )
    return pack(Logprobs(tuple(words), (math.log(0.6),) * len(words), top))


def run_ranks(
    *directories: Path, world: int = 1, strike: str = "", limit: float = 240
) -> list[tuple[int, list[int], str]]:
    """Trains the directories in turn in `world` processes, for `limit` seconds at most: exit code, codes by directory and log of each rank."""
    launches = rank_commands(directories[0], TrainingConfig(devices=world), device="cpu", threads=1)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, str(launch.rank)) for launch in launches]
        ranks = [
            {
                "env": {**launch.env, "TEST_STRIKE": strike, "HF_HUB_OFFLINE": "1"},
                "directories": [*map(str, directories)],
                "log": str(file),
            }
            for launch, file in zip(launches, files, strict=True)
        ]
        returned = forked(ranks, limit)
        logs = [file.read_text() for file in files]
    last = [log.rstrip().rpartition("\n")[2] for log in logs]
    codes = [json.loads(line) if line.startswith("[") else [] for line in last]
    return list(zip(returned, codes, logs, strict=True))


def forked(ranks: list[dict], limit: float) -> list[int]:
    """The exit codes of processes that the server forks; after `limit` seconds they are killed."""
    server = rank_server()
    server.stdin.write(json.dumps(ranks) + "\n")
    server.stdin.flush()
    pids = json.loads(server.stdout.readline())
    ended = False
    try:
        ended = bool(select.select([server.stdout], [], [], limit)[0])
        if not ended:
            raise TimeoutError(f"ranks still run after {limit:.0f} s")
    finally:
        for pid in pids if not ended else ():
            os.kill(pid, signal.SIGKILL)
        codes = json.loads(server.stdout.readline())
    return codes


@cache
def rank_server() -> subprocess.Popen[str]:
    """The process that forks ranks, with the environment that all of them have."""
    environment = rank_environment(os.environ, device="cpu", threads=1) | {"HF_HUB_OFFLINE": "1"}
    server = subprocess.Popen(
        [sys.executable, "-P", "-m", "tests.engine.students.rank_server"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.communicate)  # it ends with its input
    return server


def events(directory: Path, *kinds: str) -> list[dict]:
    """The events of a run, of these kinds or of all."""
    found, _ = read_events(directory / FILE)
    return [event for event in found if not kinds or event["event"] in kinds]


def numbers(directory: Path) -> dict[int, tuple]:
    """What must be the same however a run was interrupted: by step, the numbers of the last event of it."""
    fields = ("loss", "learning_rate", "grad_norm", "epoch")
    return {event["step"]: tuple(event[field] for field in fields) for event in events(directory, "step")}


def results(directory: Path) -> list[tuple]:
    """The evaluations of a run, without repetitions."""
    found = {
        tuple(event[field] for field in ("split", "task", "step", "n", "correct"))
        for event in events(directory, "eval")
    }
    return sorted(found)


def make_base(directory: Path, kind: str, tokenizer=None) -> Path:
    """A tiny random model of that family with a tokenizer, as a user would have it in a directory."""
    import torch
    import transformers
    from tokenizers.processors import TemplateProcessing

    from engine.students.architecture import auto_class
    from engine.students.tokenizer import make_tokenizer, row_texts

    tokenizer = tokenizer or make_tokenizer(row_texts(rows()[0], PAPER), 150)
    if kind in ENCODER_DECODERS:  # theirs close every text
        end_token = tokenizer.eos_token
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single=f"$A {end_token}", special_tokens=[(end_token, tokenizer.eos_token_id)]
        )
    size = len(tokenizer)
    end = tokenizer.eos_token_id
    common = {"vocab_size": size, "bos_token_id": None, "eos_token_id": end}
    layers = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    configs = {
        "gpt2": lambda: transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=64, **common),
        "llama": lambda: transformers.LlamaConfig(**common, **layers, num_key_value_heads=1),
        "qwen": lambda: transformers.Qwen2Config(
            **common, **layers, num_key_value_heads=2, tie_word_embeddings=True
        ),
        "qwen3": lambda: transformers.Qwen3Config(**common, **layers, num_key_value_heads=1, head_dim=8),
        "gemma": lambda: transformers.GemmaConfig(
            **common, **layers, num_key_value_heads=1, head_dim=8, pad_token_id=tokenizer.pad_token_id
        ),
        "phi": lambda: transformers.PhiConfig(**common, **layers, resid_pdrop=0.1),
        "t5": lambda: transformers.T5Config(
            vocab_size=size,
            eos_token_id=end,
            d_model=16,
            d_kv=8,
            d_ff=32,
            num_heads=2,
            num_layers=2,
            num_decoder_layers=1,
            decoder_start_token_id=tokenizer.pad_token_id,
        ),
        "bart": lambda: transformers.BartConfig(
            vocab_size=size,
            bos_token_id=None,
            eos_token_id=end,
            pad_token_id=tokenizer.pad_token_id,
            forced_eos_token_id=end,
            decoder_start_token_id=end,
            d_model=16,
            encoder_layers=1,
            decoder_layers=2,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=32,
            decoder_ffn_dim=32,
            max_position_embeddings=64,
        ),
    }
    torch.manual_seed(0)
    config = configs[kind]()
    model = auto_class(config).from_config(config)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)  # so that greedy choices differ
    model.generation_config.do_sample = True  # as many published models have it; students decode greedily
    model.generation_config.temperature = 0.7
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory
