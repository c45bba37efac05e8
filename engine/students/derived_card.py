"""The card of a student that was made from students."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.students.card_metadata import metadata
from engine.students.exported_student import asked_section, code, compute, results_section, use_section
from engine.students.operations import OPERATIONS
from engine.students.spec import Spec

if TYPE_CHECKING:
    from engine.forms import TokenForm
    from engine.students.architecture import Architecture


def derived_card(
    spec: Spec,
    architecture: Architecture,
    form: TokenForm,
    *,
    members: Sequence[str],
    parameters: int,
    figures: Mapping[str, float | str],
    results: Sequence[dict[str, Any]],
    ledger: Mapping[str, float],
) -> str:
    """The README of a derived student, in Markdown.

    Args:
        spec: of its run.
        architecture: of its model, or of each of its members.
        form: how it is asked.
        members: the names of its members in its directory; empty for a single model.
        parameters: how many weights it has, over all members.
        figures: what its operation found out.
        results: rows of accuracies by split and task, as in evaluation.json.
        ledger: its bytes and FLOPs.
    """
    operation = OPERATIONS[spec.kind]
    shown = {
        name: value
        for name, value in spec.operation.items()
        if name not in ("name", "make", "of", "seed", "priority", "evaluation")
    }
    lines = [
        metadata(spec, architecture.tag, results),
        "",
        f"# {spec.student} on {spec.scope}",
        "",
        f"A student of {parameters:,} parameters, made by Coterie from others: {operation.title}. Nothing was trained.",
        "",
        "| | |",
        "|---|---|",
        f"| made by | {spec.kind} |",
        *(f"| {name} | {value} |" for name, value in shown.items()),
        f"| made from | {', '.join(source.words for source in spec.sources)} |",
        f"| method | {spec.method} |",
        f"| task | {spec.scope} |",
        *(
            f"| {name} | {code(value) if isinstance(value, str) else f'{value:g}'} |"
            for name, value in figures.items()
        ),
        f"| size | {parameters:,} parameters, {ledger['bytes']:,} bytes |",
        f"| compute | {compute(ledger, results)} |",
        "",
        *results_section(spec, results),
    ]
    if not members:
        return "\n".join([*lines, *use_section(spec, architecture, form)])
    places = ", ".join(f"`{name}/`" for name in members)
    if form.method.roles:
        use = f"{asked_section(form)} Its members are in {places}: each writes its own turns."
        return "\n".join([*lines, "", "## Use", "", use, ""])
    return "\n".join(
        [
            *lines,
            "",
            "## Use",
            "",
            f"{asked_section(form)} Its members are in {places}: each is a model by itself. With Coterie, they are loaded together:",
            "",
            "```python",
            "from pathlib import Path",
            "from engine.students.exported_student import load_copy",
            "from transformers import AutoTokenizer",
            "",
            'model = load_copy(Path("."), "cpu")',
            f'tokenizer = AutoTokenizer.from_pretrained("{members[0]}")',
            'messages = [{"role": "user", "content": "A question?"}]',
            'options = {"add_generation_prompt": True, "return_tensors": "pt", "return_dict": True}',
            "prompt = tokenizer.apply_chat_template(messages, **options)",
            'asked = {"input_ids": prompt["input_ids"], "attention_mask": prompt["attention_mask"]}',
            f"output = model.generate(**asked, max_new_tokens={spec.evaluation.max_new_tokens})",
            "print(tokenizer.decode(output[0]))",
            "```",
            "",
        ]
    )
