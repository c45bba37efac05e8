from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.config.students import StudentConfig, TrainingConfig
from engine.errors import JobFailed
from engine.students.base_report import BaseQuestion, BaseReport
from engine.students.launch import rank_environment
from engine.students.memory_needs import Shape, estimate, machine_memory
from engine.students.open_bases import QUESTIONS, REPORTS
from engine.students.sizes import SIZES
from engine.students.weight_files import INDEX, SINGLE, NotHere, read_shapes
from tests.daemon.site import coterie
from tests.engine.forms.families import make_tokenizer
from tests.engine.students.conftest import pickled, smaller, startless, untokenized
from tests.engine.students.runs import make_base
from tests.engine.students.test_gguf import make_gguf


def sharded(base: Path, directory: Path) -> Path:
    """A copy of a base in three files."""
    from safetensors.numpy import load_file, save_file

    shutil.copytree(base, directory)
    tensors = load_file(directory / SINGLE)
    (directory / SINGLE).unlink()
    names = sorted(tensors)
    files = {name: f"model-{number % 3 + 1:05}-of-00003.safetensors" for number, name in enumerate(names)}
    for file in set(files.values()):
        save_file({name: tensors[name] for name in names if files[name] == file}, directory / file)
    (directory / INDEX).write_text(json.dumps({"weight_map": files}))
    return directory


def copied(base: Path, directory: Path, **config: int) -> Path:
    """A copy of a base whose configuration says something else."""
    shutil.copytree(base, directory)
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    return directory


def cut(path: Path) -> None:
    """Halves a file."""
    os.truncate(path, path.stat().st_size // 2)


@pytest.fixture(scope="module")
def reports(tmp_path_factory, bases) -> dict[str, BaseReport]:
    """One process opens good and bad bases."""
    folder = tmp_path_factory.mktemp("opened")
    snapshot = folder / "hub/hub/models--org--part/snapshots/1"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text((bases["llama"] / "config.json").read_text())
    whole = folder / "hub/hub/models--org--whole/snapshots/1"
    shutil.copytree(bases["llama"], whole)
    for name in ("part", "whole"):
        refs = folder / f"hub/hub/models--org--{name}/refs"
        refs.mkdir()
        (refs / "main").write_text("1")
    make_gguf(folder / "good.gguf")
    shutil.copy(folder / "good.gguf", folder / "cut.gguf")
    cut(folder / "cut.gguf")
    shards = sharded(bases["gpt2"], folder / "lacking")
    next(shards.glob("model-00002*")).unlink()
    (folder / "only").mkdir()
    shutil.copy(bases["llama"] / "config.json", folder / "only")
    small = copied(bases["llama"], folder / "cut")
    cut(small / SINGLE)
    students: dict[str, tuple[Path | str, dict]] = {
        "gpt2": (bases["gpt2"], {}),
        "t5": (bases["t5"], {}),
        "bart": (bases["bart"], {}),
        "shards": (sharded(bases["gpt2"], folder / "shards"), {"training": {"max_length": 40}}),
        "lora": (bases["llama"], {"training": {"lora_rank": 4}}),
        "chat": (make_base(folder / "chat", "llama", make_tokenizer("qwen3")), {}),
        "untrained": (bases["llama"], {"method": "base"}),
        "gguf": (folder / "good.gguf", {"training": {"max_length": 256}}),
        "absent": ("nobody/nothing", {}),
        "part": ("org/part", {}),
        "whole": ("org/whole", {}),
        "longer": (copied(bases["llama"], folder / "longer", num_hidden_layers=3), {}),
        "smaller": (smaller(bases["llama"], folder / "smaller"), {}),
        "only": (folder / "only", {}),
        "pickled": (pickled(bases["gpt2"], folder / "pickled"), {}),
        "lacking": (shards, {}),
        "cut": (small, {}),
        "wide": (copied(bases["llama"], folder / "wide", intermediate_size=48), {}),
        "other": (copied(bases["llama"], folder / "other", num_hidden_layers=9), {}),
        "cut gguf": (folder / "cut.gguf", {}),
        "startless": (startless(bases["t5"], folder / "startless"), {}),
        "untokenized": (untokenized(bases["llama"], folder / "untokenized"), {}),
        "unknown": (copied(bases["llama"], folder / "unknown", model_type="martian"), {}),
        "wrong form": (bases["gpt2"], {"form": {"type": "chat"}}),
    }
    questions = [
        BaseQuestion(
            student=StudentConfig.model_validate(
                {"name": name.replace(" ", "_"), "base": str(base), **settings}
            ),
            base=str(base),
            device="cpu",
        )
        for name, (base, settings) in students.items()
    ]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "engine.students.open_bases"],
        input=QUESTIONS.dump_json(questions),
        capture_output=True,
        check=False,
        env=rank_environment(os.environ, device="cpu", threads=1)
        | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub")},
    )
    assert done.returncode == 0, done.stderr.decode()
    return dict(zip(students, REPORTS.validate_json(done.stdout), strict=True))


def test_what_a_base_is(reports) -> None:
    """Class, weights, context, tokens, end and form of a decoder, an encoder-decoder, and a GGUF file."""
    gpt2 = reports["gpt2"]
    assert not gpt2.refused and not gpt2.absent
    assert (gpt2.architecture, gpt2.context, gpt2.form, gpt2.ends) == (
        "GPT2LMHeadModel",
        64,
        "paper",
        ("<end>",),
    )
    assert gpt2.shape == Shape(weights=9056, trained=9056, layers=2, width=16, vocabulary=90)
    assert gpt2.notes == (
        "training.max_length = 1,024 is more than its context: rows longer than 64 tokens are dropped",
    )
    assert reports["shards"] == gpt2.model_copy(update={"student": "shards", "notes": ()})
    assert reports["t5"].context is None and reports["t5"].shape.layers == 3
    assert reports["bart"].architecture == "BartForConditionalGeneration"
    assert reports["bart"].shape.layers == 3
    chat = reports["chat"]
    assert chat.form == "chat" and chat.template and chat.ends[0] == "<|im_end|>"
    lora = reports["lora"]
    assert 0 < lora.shape.trained < lora.shape.weights == reports["whole"].shape.weights
    assert not reports["untrained"].refused and not reports["untrained"].notes
    gguf = reports["gguf"]
    assert (gguf.architecture, gguf.context, gguf.form) == (
        "LlamaForCausalLM",
        256,
        "chat",
    )
    assert any("the rationale is learned as text" in note for note in gguf.notes)


def test_what_is_not_on_this_machine_is_said(reports) -> None:
    assert reports["absent"].absent == "nobody/nothing is not on this machine: the first run downloads it"
    assert reports["part"].absent.startswith("org/part: its weights are not in the hub's local cache")
    assert not reports["whole"].absent and reports["whole"].architecture == "LlamaForCausalLM"
    assert not any(reports[name].refused for name in ("absent", "part", "whole"))


def test_what_would_start_at_random_is_noted(reports) -> None:
    (note,) = reports["longer"].notes
    assert note.startswith("9 weights are not in its files and would start at random: model.layers.2.")
    assert any("90 tokens and the model 40 embeddings" in note for note in reports["smaller"].notes)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "only",
            "no weights: expected model.safetensors, or model.safetensors.index.json with its shards. Put",
        ),
        ("pickled", "no weights (pytorch_model.bin is pickled, and pickled weights are never read)"),
        ("lacking", "1 of 3 weight files are missing: model-00002-of-00003.safetensors is named in"),
        ("cut", "model.safetensors: cut short: "),
        ("wide", "first model.layers.0.mlp.down_proj.weight: (16, 32) in the file, (16, 48) expected"),
        ("other", "weights of LlamaForCausalLM are not in its files"),
        ("cut gguf", "cut.gguf: cut short or damaged: "),
        ("startless", "has no decoder_start_token_id"),
        ("untokenized", "the tokenizer of"),
        ("unknown", "martian"),
        ("wrong form", "students.wrong_form.form: "),
    ],
)
def test_what_cannot_be_used_is_refused(reports, name: str, message: str) -> None:
    assert message in reports[name].refused


def test_headers_are_read_without_weights(tmp_path: Path) -> None:
    with pytest.raises(NotHere):
        read_shapes(tmp_path, cached=True)
    file = tmp_path / SINGLE
    header = json.dumps({"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(24))
    assert read_shapes(tmp_path) == {"a": (2, 3)}
    for size, said in ((len(header) + 8 + 23, "cut short"), (20, "cut short"), (3, "not a safetensors file")):
        os.truncate(file, size)
        with pytest.raises(JobFailed, match=said):
            read_shapes(tmp_path)
    file.write_bytes(b"PK\x03\x04" * 10)
    with pytest.raises(JobFailed, match="not a safetensors file"):
        read_shapes(tmp_path)


def test_the_memory_of_a_training_follows_its_settings() -> None:
    shape = Shape(weights=10**9, trained=10**9, layers=24, width=2048, vocabulary=50_000)

    def states(bf16: bool = False, on_gpu: bool = False, trained: int = 10**9, **training) -> int:
        settings = TrainingConfig.model_validate(training)
        of = shape.model_copy(update={"trained": trained})
        return estimate(of, settings, bf16=bf16, on_gpu=on_gpu).states

    assert states(zero_stage=0) == 16 * 10**9
    assert states(zero_stage=0, bf16=True) == 16 * 10**9
    assert states() == states(zero_stage=0), "one rank has nothing to partition"
    assert states(bf16=True) > states(zero_stage=0, bf16=True)
    assert states(devices=2) < states(zero_stage=0, devices=2)
    assert states(trained=10**7, lora_rank=8) < 4.5 * 10**9
    assert states(trained=10**7, lora_rank=8, bf16=True) < 2.5 * 10**9
    on_gpus = [states(zero_stage=stage, devices=4, on_gpu=True, bf16=True) for stage in (0, 1, 2, 3)]
    assert on_gpus == sorted(on_gpus, reverse=True)
    assert states(on_gpu=True, offload="optimizer") < states(on_gpu=True)
    assert machine_memory() > 10**8


def test_a_check_opens_the_bases(tmp_path: Path, bases) -> None:
    """A directory with nothing but a config.json is refused with one message; a good one is described."""
    (tmp_path / "t.jsonl").write_text('{"question": "Ann flips.", "answer": "heads", "split": "train"}\n')
    (tmp_path / "config.toml").write_text(
        '[teachers.a]\nbuiltin = true\nmodel = "practice-large"\n[tasks.t]\nsource = "t.jsonl"\nanswer = "text"\ndev = 0\n'
        '[[plans]]\nname = "p"\n[[students]]\nname = "made"\nbase = "builtin:micro"\n[[students]]\nname = "s"\nbase = "./base"\n'
    )
    (tmp_path / "base").mkdir()
    shutil.copy(bases["llama"] / "config.json", tmp_path / "base")
    shutil.copy(bases["llama"] / "tokenizer.json", tmp_path / "base")
    done = coterie(tmp_path, "check", seconds=240)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith(f"coterie: students.s.base: {tmp_path / 'base'}: no weights: expected")
    shutil.copytree(bases["llama"], tmp_path / "base", dirs_exist_ok=True)
    done = coterie(tmp_path, "check", seconds=240)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    size = SIZES["micro"].weights
    assert any(
        line.startswith(
            f"student made: builtin:micro, an untrained decoder (Llama) of up to {size:,} weights"
        )
        for line in lines
    )
    assert (
        "student s: LlamaForCausalLM, 7,568 weights, context 2,048 tokens; tokenizer of 90 tokens, no chat template, an answer"
        " ends with <end>; form paper"
    ) in lines
    assert sum("training needs about" in line for line in lines) == 2
