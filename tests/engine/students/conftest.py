"""The training processes of this room's tests: each starts once, and many tests read what it left."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.methods import TrainRow
from engine.students.orphans import Owner, show_owner
from engine.students.run_commands import ask_to_finish
from tests.engine.forms import families
from tests.engine.students.runs import BASES, by_teachers, make_base, make_run, rows, run_ranks

# Ways to compute the same numbers as run "stage2": base, settings, splits.
WAYS = {
    "offloaded": ("gpt2", {"accumulation": 2, "zero_stage": 3, "offload": "all"}, 1),
    "offloaded2": ("gpt2", {"accumulation": 2, "offload": "optimizer"}, 1),
    "remembered": ("gpt2", {"accumulation": 2, "activation_checkpointing": True}, 1),
    "parts": ("gpt2", {"accumulation": 2, "loss_chunk": 20}, 1),
}
# The same with two ranks: one rank in float32 has no stage.
WAYS_TOGETHER = {
    "remembered3": {"activation_checkpointing": True, "zero_stage": 3},
    "parts3": {"loss_chunk": 20, "zero_stage": 3},
}
# Ways to answer the questions: base, settings.
SERVE = [sys.executable, str(Path(__file__).with_name("serve.py")), "{student}", "{port}"]
ANSWERS = {
    "static": ("gpt2", {"samples": 3}),
    "continuous": ("llama", {"batching": "continuous"}),
    "one by one": ("llama", {"batch_size": 1}),
    "served": ("gpt2", {"server_command": SERVE, "samples": 3, "server_concurrency": 4}),
    "failing": ("gpt2", {"server_command": [*SERVE, "fail"]}),
    "no server": ("gpt2", {"server_command": ["/no/such/server", "{student}"]}),
    "no url": ("gpt2", {"server_url": "http://127.0.0.1:9/v1"}),
    "served t5": ("t5", {"server_command": SERVE, "batching": "continuous"}),
}
# Longer than GPT-2's context here, and than the room that Llama's leaves.
BEYOND = rows()[1][-1].model_copy(update={"question_id": 99, "question": "Ann flips. Bob waits. " * 400})
PREFIX = {"adapter": "prefix", "prefix_tokens": 4, "learning_rate": 3e-2}
ONCE = {"dev_evaluations": 1, "best": False, "max_new_tokens": 8}
SELECT = {"select": "reinforce", "zero_stage": 0}
BACK = {"steps": 30, "zero_stage": 3, "checkpoint_steps": 24}


@pytest.fixture(scope="session")
def bases(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    return {kind: make_base(folder / kind, kind) for kind in BASES}


@pytest.fixture(scope="session")
def alone(tmp_path_factory, bases) -> SimpleNamespace:
    """One process that trains one run after another: good ones and bad ones."""
    folder = tmp_path_factory.mktemp("alone")
    two = {"accumulation": 2}
    long = TrainRow(sample_id=1, question_id=1, question="Heads? " * 60, rationale="x " * 60, answer="yes")
    runs = {
        "nano": make_run(folder / "nano", training={"zero_stage": 2}),
        "gpt2": make_run(folder / "gpt2", base=str(bases["gpt2"])),
        "llama": make_run(folder / "llama", base=str(bases["llama"]), training={"precision": "bf16"}),
        "llama0": make_run(
            folder / "llama0", base=str(bases["llama"]), training={"precision": "bf16", "zero_stage": 0}
        ),
        "llama3": make_run(
            folder / "llama3", base=str(bases["llama"]), training={"precision": "bf16", "zero_stage": 3}
        ),
        "qwen": make_run(folder / "qwen", base=str(bases["qwen"]), evaluation={"dev_evaluations": 0}),
        **{name: make_run(folder / name, base=str(bases[name])) for name in ("qwen3", "gemma", "phi")},
        "chat": make_run(
            folder / "chat",
            base=str(make_base(folder / "chat base", "llama", families.make_tokenizer("qwen3"))),
            form=None,
            evaluation={"dev_evaluations": 1, "best": False, "max_new_tokens": 8},
        ),
        "t5": make_run(folder / "t5", base=str(bases["t5"]), training=two | {"zero_stage": 3}),
        "lora": make_run(
            folder / "lora", base=str(bases["gpt2"]), training={"lora_rank": 4, "keep_adapter": True, **two}
        ),
        "prefix": make_run(folder / "prefix", base=str(bases["llama"]), training=PREFIX, evaluation=ONCE),
        "select": make_run(folder / "select", training=SELECT | two, evaluation=ONCE, train=by_teachers()),
        "bart": make_run(folder / "bart", base=str(bases["bart"]), training={"zero_stage": 0}),
        **{
            f"stage{stage}": make_run(
                folder / f"stage{stage}", base=str(bases["gpt2"]), training={"zero_stage": stage, **two}
            )
            for stage in (0, 2)
        },
        **{
            name: make_run(folder / name, base=str(bases[base]), training=training, splits=splits)
            for name, (base, training, splits) in WAYS.items()
        },
        "back": make_run(folder / "back", training=BACK | two, evaluation={"dev_evaluations": 1}),
        "packed bart": make_run(folder / "bart2", base=str(bases["bart"]), training={"packing": "auto"}),
        "nano-t5": make_run(
            folder / "nano-t5", base="builtin:nano-t5", training={"packing": True, "zero_stage": 3}
        ),
        **{
            name: make_run(
                folder / name,
                base=str(bases[base]),
                training={"zero_stage": 0},
                evaluation={"dev_evaluations": 1, "best": False, **evaluation},
                asked=[BEYOND],
            )
            for name, (base, evaluation) in ANSWERS.items()
        },
        "distribution": make_run(
            folder / "distribution",
            training={"objective": "distribution", "loss_chunk": 20},
            evaluation={"dev_evaluations": 0, "max_new_tokens": 4},
            taught_distributions=True,
            formats=("cot", "answer", "shots-cot"),
        ),
        "orphan": make_run(folder / "orphan", training={"steps": 30_000, "checkpoint_steps": 9_000}),
        "patient": make_run(
            folder / "patient",
            training={"learning_rate": 1e-9, "steps": None, "epochs": 9},
            evaluation={"every_epochs": 1, "patience": 1, "best": False},
        ),
    }
    show_owner(runs["orphan"], Owner.of(Path(__file__), devices="cpu:0", orphan_hours=1e-4))
    bad = {
        "no rows": make_run(folder / "bad1", train=[]),
        "too long": make_run(folder / "bad2", train=[long], training={"max_length": 30}),
        "no base": make_run(folder / "bad3", base="/no/such/model"),
        "no builtin": make_run(folder / "bad4", base="builtin:giant"),
        "hub": make_run(folder / "bad8", base="nobody/nothing"),
        "no tokenizer": make_run(
            folder / "bad9", base=str(untokenized(bases["llama"], folder / "untokenized"))
        ),
        "another tokenizer": make_run(
            folder / "bad10", base=str(smaller(bases["llama"], folder / "smaller"))
        ),
        "diverged": make_run(folder / "bad5", training={"learning_rate": 1e38, "warmup": 0.0}),
        "pickled": make_run(folder / "bad6", base=str(pickled(bases["gpt2"], folder / "pickled"))),
        "mixed": make_run(folder / "bad11", base=str(bases["bart"]), training={"packing": True}),
        "liger": make_run(folder / "bad12", training={"liger": True}),
        "flash": make_run(folder / "bad13", training={"attention": "flash"}),
        "no distributions": make_run(folder / "bad14", training={"objective": "distribution"}),
        "no start": make_run(folder / "bad7", base=str(startless(bases["t5"], folder / "startless"))),
    }
    [(code, codes, log)] = run_ranks(*runs.values(), *bad.values())
    by_name = dict(zip([*runs, *bad], codes, strict=True)) if codes else {}
    runs |= {"stage1": runs["stage0"], "stage3": runs["stage0"]}  # what two ranks at these stages must equal
    return SimpleNamespace(runs=runs, bad=bad, code=code, codes=by_name, log=log)


@pytest.fixture(scope="session")
def stopped(tmp_path_factory, bases) -> dict[str, Path]:
    """Runs of one rank that were told to stop after a few steps."""
    folder = tmp_path_factory.mktemp("stopped")
    two = {"accumulation": 2}
    base = str(bases["gpt2"])
    runs = {
        "gpt2": make_run(folder / "run", base=base),
        "lora": make_run(folder / "lora", base=base, training={"lora_rank": 4, **two}),
        "prefix": make_run(folder / "prefix", base=str(bases["llama"]), training=PREFIX, evaluation=ONCE),
        "select": make_run(folder / "select", training=SELECT | two, evaluation=ONCE, train=by_teachers()),
        **{
            f"stage{stage}": make_run(
                folder / f"stage{stage}", base=base, training={"zero_stage": stage, **two}
            )
            for stage in (0, 2, 3)
        },
    }
    [(code, _, log)] = run_ranks(*runs.values(), strike="3:0:SIGTERM")
    assert code == 0, log
    return runs


@pytest.fixture(scope="session")
def together(tmp_path_factory, bases, stopped) -> SimpleNamespace:
    """Two ranks that train the runs of `alone` at each ZeRO stage, and one run whose second rank is told to stop."""
    folder = tmp_path_factory.mktemp("together")
    runs = {
        f"stage{stage}": make_run(
            folder / f"stage{stage}", base=str(bases["gpt2"]), training={"zero_stage": stage, "devices": 2}
        )
        for stage in (0, 1, 2, 3)
    }
    runs |= {
        name: make_run(folder / name, base=str(bases["gpt2"]), training={**training, "devices": 2})
        for name, training in WAYS_TOGETHER.items()
    }
    runs["t5"] = make_run(folder / "t5", base=str(bases["t5"]), training={"devices": 2})
    runs["lora"] = make_run(folder / "lora", base=str(bases["gpt2"]), training={"devices": 2, "lora_rank": 4})
    runs["select"] = make_run(
        folder / "select", training=SELECT | {"devices": 2}, evaluation=ONCE, train=by_teachers()
    )
    runs["stopped"] = make_run(
        folder / "stopped", training={"devices": 2, "steps": 3000, "checkpoint_steps": 900}
    )
    runs["back"] = make_run(
        folder / "back", training=BACK | {"devices": 2}, evaluation={"dev_evaluations": 1}
    )
    runs["early"] = make_run(
        folder / "early", training={"devices": 2, "steps": 3000, "checkpoint_steps": 900}
    )
    ask_to_finish(runs["early"])
    for stage in (0, 2, 3):  # two ranks go on with what one began
        runs[f"moved{stage}"] = stopped[f"stage{stage}"]
    # Step 20 exists in two runs alone.
    ranks = run_ranks(*runs.values(), world=2, strike="20:1:SIGTERM")
    return SimpleNamespace(runs=runs, ranks=ranks)


def pickled(base: Path, directory: Path) -> Path:
    """A copy of a base model whose weights are a pickle."""
    shutil.copytree(base, directory)
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    return directory


def startless(base: Path, directory: Path) -> Path:
    """A copy of an encoder-decoder that does not say what its decoder begins with."""
    shutil.copytree(base, directory)
    for name in ("config.json", "generation_config.json"):
        settings = json.loads((directory / name).read_text())
        settings.pop("decoder_start_token_id", None)
        (directory / name).write_text(json.dumps(settings))
    return directory


def untokenized(base: Path, directory: Path) -> Path:
    """A copy of a base model without its tokenizer."""
    return Path(shutil.copytree(base, directory, ignore=shutil.ignore_patterns("tokenizer*")))


def smaller(base: Path, directory: Path) -> Path:
    """A base model with fewer tokens than its tokenizer has."""
    from transformers import AutoModelForCausalLM

    shutil.copytree(base, directory)
    model = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(40)
    model.save_pretrained(directory)
    return directory
