"""The exported student: safetensors, tokenizer and model card in a directory that anyone can load.

It is written under another name, evaluated from there, and renamed once the card has its results. So a directory
`student/` is always complete.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config.adapters import ADAPTERS
from engine.methods import METHODS
from engine.students.adapters import Adapted, link, load_prefix, save, save_adapter
from engine.students.card_metadata import metadata
from engine.students.checkpoints import sync
from engine.students.objectives import OBJECTIVES
from engine.students.operations.base import BASE, MEMBERS_FILE, is_prefix
from engine.students.portable import make_portable
from engine.students.spec import Spec
from state.confidence_interval import accuracy_text, percent
from state.enums import FINISHED_EARLY

if TYPE_CHECKING:  # it brings torch
    from engine.forms import TokenForm
    from engine.students.architecture import Architecture

DIRECTORY = "student"
PARTIAL = "student.partial"
ADAPTER = "adapter"
"""In a student's directory: its LoRA adapter, for the base."""
EARLY = {FINISHED_EARLY: "by hand", "patience": "dev did not get better"}
"""Why a training ended before its last step."""


def save_student(run_dir: Path, spec: Spec, adapted: Adapted, tokenizer: Any, template: str) -> Path:
    """Writes weights, configuration, tokenizer and chat template to the unfinished copy and returns its path.

    LoRA's adapters are merged into the model, and with `keep_adapter` also written as they are. A prefix stays beside its base.
    """
    partial = run_dir / PARTIAL
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    if spec.training.keep_adapter:
        save_adapter(adapted, partial / ADAPTER, base_name(spec))
    save(adapted, partial, spec)
    tokenizer.chat_template = template
    for place in (partial, partial / BASE) if is_prefix(partial) else (partial,):
        # In tokenizer_config.json, where every version of transformers and TGI look for it; TGI knows no chat_template.jinja.
        tokenizer.save_pretrained(place, save_jinja_files=False)
        make_portable(place)
    return partial


def exported_copy(run_dir: Path) -> Path:
    """The exported student: finished, or while it is first evaluated."""
    final = run_dir / DIRECTORY
    return final if final.is_dir() else run_dir / PARTIAL


def weight_bytes(directory: Path) -> int:
    """The bytes of the weights that answering needs."""
    return sum(path.stat().st_size for path in directory.rglob("*.safetensors"))


def parameters_in(directory: Path) -> int:
    """The number of weights in the safetensors of a directory."""
    from safetensors import safe_open

    count = 0
    for path in sorted(directory.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as file:
            count += sum(prod(file.get_slice(name).get_shape()) for name in file.keys())
    return count


def save_members(run_dir: Path, operation: str, members: Mapping[str, Path]) -> Path:
    """Writes the members of a student that is no single model to the unfinished copy, and returns its path.

    Their files are linked where the file system can: they take no space twice.

    Args:
        run_dir: the directory of the run.
        operation: what loads the student.
        members: the directories of the members, by their names in the copy.
    """
    partial = run_dir / PARTIAL
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for name, source in members.items():
        shutil.copytree(source, partial / name, copy_function=link)
    said = {"make": operation, "like": next(iter(members))}
    (partial / MEMBERS_FILE).write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    return partial


def load_student(run_dir: Path, device: Any) -> Any:
    """The model of the exported copy, loaded as its users will load it."""
    return load_copy(exported_copy(run_dir), device)


def load_copy(copy: Path, device: Any) -> Any:
    """An exported student: a model of transformers, or a module that answers as one does."""
    from transformers import AutoConfig

    from engine.students.architecture import auto_class

    if (copy / MEMBERS_FILE).is_file():
        from engine.students.operations import OPERATIONS

        return OPERATIONS[json.loads((copy / MEMBERS_FILE).read_bytes())["make"]].load(copy, device).eval()
    if is_prefix(copy):
        return load_prefix(copy, load_copy(copy / BASE, device)).eval()
    config = AutoConfig.from_pretrained(copy, trust_remote_code=False, local_files_only=True)
    model = auto_class(config).from_pretrained(
        copy, dtype="auto", trust_remote_code=False, use_safetensors=True, local_files_only=True
    )
    return model.to(device).eval()


def finish_student(run_dir: Path, card: str) -> Path:
    """Adds the card and renames the copy."""
    partial, final = run_dir / PARTIAL, run_dir / DIRECTORY
    (partial / "README.md").write_text(card, encoding="utf-8")
    for path in partial.rglob("*"):
        if path.is_file():
            sync(path)
    shutil.rmtree(final, ignore_errors=True)
    os.rename(partial, final)
    sync(run_dir)
    return final


def base_name(spec: Spec) -> str:
    """The base as others may know it: a hub id, or the name of the file or directory, without the place on this machine."""
    if spec.source is not None:
        return f"the student {spec.source} (run {spec.started_from})"
    if spec.started_from:
        return f"the student of run {spec.started_from}"
    return Path(spec.base).name if Path(spec.base).is_absolute() else spec.base


def model_card(
    spec: Spec,
    architecture: Architecture,
    form: TokenForm,
    *,
    rows: int,
    questions: int,
    parameters: int,
    step: int,
    steps: int,
    trained: int,
    reason: str,
    selected_by: str,
    results: Sequence[dict[str, Any]],
    ledger: Mapping[str, float],
) -> str:
    """The README of an exported student, in Markdown."""
    method = METHODS[spec.method]
    how = "best dev accuracy" if selected_by == "dev" else "last step"
    own = bool(spec.started_from) and spec.source is None
    base = "the previous student" if own else base_name(spec)
    training = spec.training
    size = f"{training.batch_rows} rows" if training.batch_rows else f"{training.batch_tokens} tokens"
    batch = f"{size} per batch x {training.devices} ranks x {training.accumulation}"
    adapter = ADAPTERS[training.adapter]
    adapters = adapter.said(training)
    settings = f"{adapters}{', ' if adapters else ''}learning rate {training.learning_rate:g}, {batch}, ZeRO {training.zero_stage}, seed {training.seed}"
    lines = [
        metadata(spec, architecture.tag, results),
        "",
        f"# {spec.student} on {spec.scope}",
        "",
        f"A student of {parameters:,} parameters, trained by Coterie with {method.title}.",
        "",
        "| | |",
        "|---|---|",
        f"| base | {base} |",
        *([f"| started from | the student of run {spec.started_from} |"] if own else []),
        f"| method | {spec.method} |",
        f"| task | {spec.scope} |",
        f"| training data | {rows:,} rows ({method.teaches}) from {questions:,} questions, trigger {spec.trigger} |",
        *(
            [f"| teachers | {', '.join(f'{name}: {count}' for name, count in spec.teachers.items())} |"]
            if spec.teachers
            else []
        ),
        *([f"| objective | {title} |"] if (title := OBJECTIVES[training.objective].title) else []),
        *([f"| formats | {', '.join(spec.formats)} |"] if spec.formats else []),
        f"| manifest digest | `{spec.manifest_digest}` |",
        f"| weights | step {step} of {steps} ({how}) |",
        *(
            [f"| finished early | after step {trained} of {steps}: {EARLY[reason]} |"]
            if reason in EARLY
            else []
        ),
        f"| training | {settings} |",
        f"| size | {parameters:,} parameters, {ledger['bytes']:,} bytes |",
        f"| compute | {compute(ledger, results)} |",
        "",
        *results_section(spec, results),
    ]
    lines += use_section(spec, architecture, form)
    if training.keep_adapter:
        lines += [
            f"`{ADAPTER}/` has what was trained, as a LoRA adapter of {base}. On it, it makes the same model, up to rounding:",
            "",
            "```python",
            "from peft import PeftModel",
            f"from transformers import {architecture.auto}",
            "",
            f"base = {architecture.auto}.from_pretrained({json.dumps(base_name(spec))})  # or its directory on your machine",
            f'model = PeftModel.from_pretrained(base, "{ADAPTER}")',
            "```",
            "",
        ]
    return "\n".join(lines)


def use_section(spec: Spec, architecture: Architecture, form: TokenForm) -> list[str]:
    """How to load and ask a student that is a model, as lines."""
    prefix = not ADAPTERS[spec.training.adapter].model_of_its_own
    loaded = [f'model = {architecture.auto}.from_pretrained("{BASE if prefix else "."}")']
    if prefix:
        loaded.append('model = PeftModel.from_pretrained(model, ".")')
    return [
        "",
        "## Use",
        "",
        asked_section(form),
        *([_PREFIX] if prefix else []),
        "",
        "```python",
        *(["from peft import PeftModel"] if prefix else []),
        f"from transformers import {architecture.auto}, AutoTokenizer",
        "",
        *loaded,
        'tokenizer = AutoTokenizer.from_pretrained(".")',
        'messages = [{"role": "user", "content": "A question?"}]',
        'options = {"add_generation_prompt": True, "return_tensors": "pt", "return_dict": False}',
        "prompt = tokenizer.apply_chat_template(messages, **options)",
        f"output = model.generate(input_ids=prompt, max_new_tokens={spec.evaluation.max_new_tokens})",
        "print(tokenizer.decode(output[0]))",
        "```",
        "",
    ]


_PREFIX = (
    f"\nThis directory is a prefix (prefix-tuning) of the model in `{BASE}/`. peft puts the two together: without the prefix, the model"
    " answers as its base does. `coterie serve` serves it; other servers may not know prefixes."
)


def asked_section(form: TokenForm) -> str:
    """What is asked and what is written, in a sentence each."""
    said = f"The chat template writes the prompt: {code(form.shown)}. The student writes {code(form.writes)}."
    if form.method.roles:
        said += " It is asked turn by turn, each after all turns before it: `coterie serve` holds the conversation."
    return said


def with_results(
    card: str,
    spec: Spec,
    architecture: Architecture,
    results: Sequence[dict[str, Any]],
    ledger: Mapping[str, float] | None,
) -> str:
    """A card with other results, in its metadata and in its tables. `ledger`: None for a run of an older version."""
    body = card[card.index("\n# ") :]
    if ledger is not None:
        body = re.sub(r"(?m)^\| compute \| .* \|$", f"| compute | {compute(ledger, results)} |", body)
    before, rest = body.split("\n## Results\n", 1)
    after = rest[rest.index("\n## Use\n") :]
    table = "\n".join(results_section(spec, results))
    return f"{metadata(spec, architecture.tag, results)}\n{before}\n{table}\n{after}"


def results_section(spec: Spec, results: Sequence[dict[str, Any]]) -> list[str]:
    """The section with the results, as lines."""
    lines = [
        "## Results",
        "",
        "Greedy decoding, one seed. Accuracy in percent with its 95 % Wilson interval.",
        "",
        "| split | task | n | correct | accuracy % (95 % interval) | seed |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['split']} | {row['task']} | {row['n']} | {row['correct']} | "
        f"{accuracy_text(row['accuracy'], row['low'], row['high'])} | {spec.training.seed} |"
        for row in results
    ]
    lines += [
        f"\nThe majority of {row['majority_of']} sampled answers per question (temperature {spec.evaluation.temperature:g}) "
        f"is correct on {percent(row['majority'])} % of {row['split']} of {row['task']}."
        for row in results
        if row.get("majority_of")
    ]
    if not results:
        lines.append("| none | | 0 | | | |")
    return lines


def compute(ledger: Mapping[str, float], results: Sequence[dict[str, Any]]) -> str:
    """The FLOPs of training, and of an answer to a test question."""
    tested = [row for row in results if row["split"] == "test" and "flops" in row]
    said = [f"{ledger['train_flops']:.3g} FLOPs of training"]
    if count := sum(row["n"] for row in tested):
        read, wrote = (
            sum(row[name] for row in tested) / count for name in ("prompt_tokens", "completion_tokens")
        )
        flops = sum(row["n"] * row["flops"] for row in tested) / count
        said.append(f"{flops:.3g} FLOPs a test question ({read:.0f} tokens read, {wrote:.0f} written)")
    return ", ".join(said)


def code(text: str) -> str:
    """A text in a line of Markdown, as code."""
    return f"`{json.dumps(text, ensure_ascii=False)[1:-1]}`"
