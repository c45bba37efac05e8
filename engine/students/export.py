"""The finished student: safetensors, tokenizer and model card, as a directory anyone can load.

It is written under another name, evaluated from there, and renamed when the card holds its results: a
directory `student/` is always whole.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.students.checkpoints import sync
from engine.students.spec import Spec

if TYPE_CHECKING:  # it brings torch
    from engine.students.architecture import Kind

DIRECTORY = "student"
PARTIAL = "student.partial"


def save_student(run_dir: Path, model: Any, tokenizer: Any) -> Path:
    """Writes weights, configuration and tokenizer to the unfinished copy, and returns its path."""
    partial = run_dir / PARTIAL
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    return partial


def load_student(run_dir: Path, device: Any) -> Any:
    """The unfinished copy's model, loaded as its users will."""
    from transformers import AutoConfig

    from engine.students.architecture import auto_class

    partial = run_dir / PARTIAL
    config = AutoConfig.from_pretrained(partial, trust_remote_code=False, local_files_only=True)
    model = auto_class(config).from_pretrained(
        partial, dtype="auto", trust_remote_code=False, use_safetensors=True, local_files_only=True
    )
    return model.to(device).eval()


def finish_student(run_dir: Path, card: str) -> Path:
    """Adds the card and gives the copy its name."""
    partial, final = run_dir / PARTIAL, run_dir / DIRECTORY
    (partial / "README.md").write_text(card, encoding="utf-8")
    for path in partial.rglob("*"):
        if path.is_file():
            sync(path)
    shutil.rmtree(final, ignore_errors=True)
    os.rename(partial, final)
    sync(run_dir)
    return final


def model_card(
    spec: Spec,
    kind: Kind,
    *,
    rows: int,
    questions: int,
    parameters: int,
    step: int,
    steps: int,
    selected_by: str,
    results: Sequence[dict[str, Any]],
) -> str:
    """The README of an exported student, in Markdown."""
    taught = "rationales and answers" if spec.method == "fine-tune-cot" else "answers"
    writes = kind.form.completion("{rationale}" if spec.method == "fine-tune-cot" else None, "{answer}")
    how = "best dev accuracy" if selected_by == "dev" else "last step"
    base = (
        "the previous student"
        if spec.started_from
        else Path(spec.base).name
        if Path(spec.base).is_absolute()
        else spec.base
    )
    training = spec.training
    batch = f"{training.batch_tokens} tokens a batch x {training.devices} ranks x {training.accumulation}"
    adapters = f"LoRA of rank {training.lora_rank} (merged), " if training.lora_rank else ""
    recipe = f"{adapters}learning rate {training.learning_rate:g}, {batch}, ZeRO {training.zero_stage}, seed {training.seed}"
    lines = [
        "---",
        "library_name: transformers",
        f"pipeline_tag: {kind.tag}",
        "tags: [fine-tune-cot, distillation]",
        "---",
        "",
        f"# {spec.student} on {spec.scope}",
        "",
        f"A student of {parameters:,} parameters, trained with Fine-tune-CoT (Ho et al. 2023) by Coterie.",
        "",
        "| | |",
        "|---|---|",
        f"| base | {base} |",
        *([f"| started from | the student of run {spec.started_from} |"] if spec.started_from else []),
        f"| method | {spec.method} |",
        f"| task | {spec.scope} |",
        f"| training data | {rows} rows ({taught}) of {questions} questions, trigger {spec.trigger} |",
        *(
            [f"| teachers | {', '.join(f'{name}: {count}' for name, count in spec.teachers.items())} |"]
            if spec.teachers
            else []
        ),
        f"| manifest digest | `{spec.manifest_digest}` |",
        f"| weights | step {step} of {steps} ({how}) |",
        f"| recipe | {recipe} |",
        "",
        "## Results",
        "",
        "Greedy decoding; accuracy with its 95 % Wilson interval; one seed.",
        "",
        "| split | task | n | correct | accuracy | 95 % interval | seed |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['split']} | {row['task']} | {row['n']} | {row['correct']} | {row['accuracy']:.3f} "
        f"| {row['low']:.3f} to {row['high']:.3f} | {training.seed} |"
        for row in results
    ]
    lines += [
        f"\nOf {row['majority_of']} sampled answers a question on {row['split']} of {row['task']} (temperature "
        f"{spec.evaluation.temperature:g}) the majority is right on {row['majority']:.3f}."
        for row in results
        if row.get("majority_of")
    ]
    if not results:
        lines.append("| none | | 0 | | | | |")
    lines += [
        "",
        "## Use",
        "",
        f"The prompt is `{kind.form.prompt('{question}')}`. The student writes `{writes}`.",
        "",
        "```python",
        f"from transformers import {kind.auto}, AutoTokenizer",
        "",
        f'model = {kind.auto}.from_pretrained(".")',
        'tokenizer = AutoTokenizer.from_pretrained(".")',
        f'text = "{kind.form.prompt("A question?")}"',
        'prompt = tokenizer(text, return_tensors="pt", return_token_type_ids=False)',
        "output = model.generate(**prompt, max_new_tokens=" + f"{spec.evaluation.max_new_tokens})",
        "print(tokenizer.decode(output[0], skip_special_tokens=True))",
        "```",
        "",
    ]
    return "\n".join(lines)
