"""Writes `docs/configuration.md` and `docs/config.schema.json`: `python -m engine.config.document`.

Both are made from the JSON Schema of the models, where the docstring under a field is its description. A test
compares the files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from engine.config.base import NAME_PATTERN, Again, Identity, Section, fields_marked
from engine.config.derived import DerivedConfig
from engine.config.plans import PlanConfig
from engine.config.schema import config_schema, schema_text
from engine.config.students import CurationConfig, EvaluationConfig, StudentConfig
from engine.config.teachers import TeacherConfig
from engine.config.training import TrainingConfig
from engine.forms import FORMS
from engine.grading.formats import FORMATS
from engine.strategies import STRATEGIES
from engine.students.operations import OPERATIONS
from engine.teachers.dialects import DIALECTS

DOCS = Path(__file__).resolve().parents[2] / "docs"
TARGET = DOCS / "configuration.md"
SCHEMA = DOCS / "config.schema.json"


class Documented(Protocol):
    """A variant that says what it is."""

    @property
    def documentation(self) -> str:
        """One paragraph."""


TYPES = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true` or `false`"}
LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def own_tables(settings: type[DerivedConfig]) -> dict[str, type[Section]]:
    """The keys of an operation that are tables, besides those of all."""
    return {
        name: field.annotation
        for name, field in settings.model_fields.items()
        if name not in DerivedConfig.model_fields
        and isinstance(field.annotation, type)
        and issubclass(field.annotation, Section)
    }


SECTIONS: tuple[tuple[str, str, str], ...] = (
    ("[state]", "StateConfig", ""),
    ("[daemon]", "DaemonConfig", ""),
    ("[notify]", "NotifyConfig", "Takes effect on SIGHUP."),
    ("[teachers.NAME]", "TeacherConfig", "One table a teacher. Unset limits are found out while sampling."),
    ("[tasks.NAME]", "TaskConfig", "One table a task. `[tasks.NAME.options]` is a table of its own."),
    ("[tasks.NAME.fields]", "FieldsConfig", ""),
    ("[[plans]]", "PlanConfig", "One table a plan. `coterie run` does all plans side by side."),
    ("[prompts.NAME]", "PromptsConfig", "Braces stand for themselves when doubled."),
    ("[[students]]", "StudentConfig", "One table a student; without any, the daemon only samples."),
    *(
        (
            f'[students.form] type = "{form.name}"',
            form.settings.__name__,
            "Of the `[[students]]` table above it.",
        )
        for form in FORMS.values()
    ),
    ("[students.curation]", "CurationConfig", "Of the `[[students]]` table above it."),
    ("[students.training]", "TrainingConfig", "Of the `[[students]]` table above it."),
    (
        "[students.training.slurm]",
        "SlurmConfig",
        'Of the `[students.training]` table above it, with `executor = "slurm"`.',
    ),
    ("[students.evaluation]", "EvaluationConfig", "Of the `[[students]]` table above it."),
    (
        "[students.generation]",
        "GenerationConfig",
        "Of the `[[students]]` table above it, with `generations`.",
    ),
    *(
        (
            f'[[derived]] make = "{each.name}"',
            each.settings.__name__,
            f"{each.documentation[:1].upper()}{each.documentation[1:]}.",
        )
        for each in OPERATIONS.values()
    ),
    *(
        (
            f"[derived.{key}]",
            table.__name__,
            f'Of the `[[derived]]` table above it, with `make = "{each.name}"`.',
        )
        for each in OPERATIONS.values()
        for key, table in own_tables(each.settings).items()
    ),
    (
        "[experiment]",
        "ExperimentConfig",
        "They are added to those of `[[plans]]` and `[[students]]`; `coterie experiment` shows the matrix.",
    ),
    ("experiment.bases", "BaseConfig", "An item of `bases` that is a table."),
    ("experiment.filters", "FilterConfig", "An item of `filters` that is a table."),
    ("experiment.samplings", "SamplingConfig", "An item of `samplings`."),
    ("[notify]", "NotifyConfig", "Alarms; without a command and a webhook there are none."),
    ("[tui]", "TuiConfig", ""),
)
"""Title, definition in the schema, and a remark; in the order of the page."""

TABLES: dict[str, tuple[str, str, str, Mapping[str, Documented]]] = {
    "TeacherConfig": ("Dialects", "dialect", "API", DIALECTS),
    "TaskConfig": ("Answer formats", "answer", "what an answer is", FORMATS),
    "PlanConfig": ("Strategies", "strategy", "how a teacher is asked", STRATEGIES),
    "StudentConfig": ("Forms, in `[students.form]`", "type", "the text around question and answer", FORMS),
}
"""Definition in the schema to a table of variants below it: title, key, heading, registry."""

TABLES_OF_STUDENTS = ("curation", "training", "evaluation", "generation")
"""Keys of a student that are tables of their own."""

EXAMPLE = """\
[daemon]
budget_usd = 20.0

[teachers.gpt]
base_url = "https://api.openai.com/v1"
model = "gpt-4.1-mini"
api_key_env = "OPENAI_API_KEY"
requests_per_minute = 5_000
usd_per_million_input = 0.40
usd_per_million_output = 1.60

[tasks.gsm8k]
source = "data/gsm8k.jsonl"
answer = "number"

[[plans]]
name = "diverse"
strategy = "zero-shot-cot-chat"
rationales = 8
max_tokens = 512

[[students]]
name = "fine-tune-cot"
base = "Qwen/Qwen3-0.6B"
train_at = [5_000, "complete"]
training = { epochs = 3, devices = 2, learning_rate = 2e-5 }
"""

APIS = """\
[teachers.claude]
dialect = "anthropic-messages"
base_url = "https://api.anthropic.com/v1"
model = "claude-haiku-4-5"
api_key_env = "ANTHROPIC_API_KEY"

[teachers.reasoner]               # a model that refuses temperature, with summaries of its reasoning
dialect = "openai-responses"
base_url = "https://api.openai.com/v1"
model = "gpt-5-mini"
api_key_env = "OPENAI_API_KEY"
omit = ["temperature"]
extra_body = { reasoning = { effort = "low", summary = "auto" } }

[teachers.azure]
base_url = "https://NAME.openai.azure.com/openai/deployments/DEPLOYMENT?api-version=2024-10-21"
model = "DEPLOYMENT"
api_key_env = "AZURE_OPENAI_API_KEY"
api_key_header = "api-key"

[teachers.vllm]                   # a server of your own, without a key
base_url = "http://localhost:8000/v1"
model = "Qwen/Qwen3-32B"
"""

MORE = """\
[tasks.commonsense_qa]
source = "hf:commonsense_qa"
answer = "choice"

[prompts.short]
prompt = "{question}\\n\\nThink step by step, in few words. Then end with one last line of the form\\nAnswer: X"

[[plans]]
name = "short"
strategy = "zero-shot-cot-chat"
prompts = "short"

[[plans]]
name = "hints"
strategy = "rationalize"
needs = "short"

[[plans]]
name = "few-shot"
split = "test"
strategy = "few-shot-cot"
exemplars = "examples/{task}.jsonl"       # question, rationale, answer
rationales = 5                            # their majority is reported as well

[[students]]
name = "with-hints"
curation = { hinted = true }
"""

INTRO = """\
# Configuration

<!-- Generated by `python -m engine.config.document` from the models in engine/config; do not edit. -->

One TOML file, `config.toml` in the working directory or the one given with `-c`. The
[config.toml](../config.toml) of the repository is the embedded default.

- Every key but those marked *required* may be left out.
- A key that is unknown, of another type or out of range is refused: file, line, what was expected
  and the nearest key. All faults are reported at once. `coterie check` looks without running.
- Relative paths start at the folder of the file.
- Names of teachers, tasks, plans and students match `{pattern}`.
- The file never holds API keys, only where to find them.
- The file is read when the daemon starts, and again on SIGHUP. Its resolved form is stored with each start and each run.
- Any key may be changed at any time. [What an edit does](#what-an-edit-does) says which edits begin a plan or a student anew; `coterie check`
  says it of your edit. What needs a start of the daemon is named in its events.

## Example

```toml
{example}```

Teachers of other kinds:

```toml
{apis}```

Data of the hub, a baseline with worked examples, and hints where the teacher failed:

```toml
{more}```

A task file has one object a line: `{{"id", "question", "answer", "rationale"?, "split"?}}`.
"""


def document() -> str:
    """The whole text of docs/configuration.md."""
    definitions = config_schema()["$defs"]
    parts = [INTRO.format(pattern=NAME_PATTERN, example=EXAMPLE, apis=APIS, more=MORE)]
    parts.append(_edits())
    for title, name, note in SECTIONS:
        parts.append(_section(title, definitions[name], note))
        if name in TABLES:
            parts.append(_variants(*TABLES[name]))
    return "\n".join(parts)


def _edits() -> str:
    """What becomes of samples and students when a key changes, from the marks of the fields."""

    def keys(model: type[Section], *marks: Enum, but: tuple[Enum, ...] = ()) -> str:
        names = [name for name in fields_marked(model, *marks) if name not in fields_marked(model, *but)]
        return ", ".join(f"`{name}`" for name in names if name not in TABLES_OF_STUDENTS)

    counts = (Identity.ALWAYS, Identity.IF_SET)
    parts: dict[str, type[Section]] = {
        "[[students]]": StudentConfig,
        "[students.curation]": CurationConfig,
        "[students.training]": TrainingConfig,
        "[students.evaluation]": EvaluationConfig,
    }
    again = (Again.NOTHING, Again.SAME_STEPS, Again.EVALUATES)
    trained = "; ".join(f"{keys(model, *counts, but=again)} of `{title}`" for title, model in parts.items())

    def marked(mark: Again) -> str:
        return "; ".join(
            f"{found} of `{title}`" for title, model in parts.items() if (found := keys(model, mark))
        )

    plan = keys(PlanConfig, *counts)
    content = keys(PlanConfig, Identity.BY_CONTENT)
    return f"""\
## What an edit does

`coterie check` compares the file with the database and says what an edit does before you start: what stays, what is graded again, what is
set aside, how many requests that makes and about what they cost. A start and a SIGHUP say the same in events. Nothing stored is ever deleted.

| when this changes | then |
|---|---|
| {plan} of `[[plans]]` | the plan begins anew; its former samples stay stored, apart |
| what these name: {content} of `[[plans]]` | the same for what a request contains: templates, worked examples, `per_request` with a `seed`. Of other teachers, the samples of those that stay are kept |
| {keys(TeacherConfig, *counts)} of `[teachers.NAME]` | the plans of the teacher begin anew, but for the samples of teachers that stay |
| `rationales`, `max_rationales`, `stop_after_correct`, `correct_per_task`, `split` of `[[plans]]` | what is missing is asked for; samples beyond the new numbers stay stored, but no longer count |
| `answer` of `[tasks.NAME]` | stored samples are graded again |
| a question, or its gold answer or split | samples of a question that is gone are set aside; with another gold answer they are graded again; they follow it to another split. A student of the task is trained anew |
| {trained} | the student is trained anew at its next trigger; its former runs stay |
| {marked(Again.EVALUATES)} | a finished run is evaluated again from its exported student; nothing is trained. With `method = "base"`, it is measured anew |
| {marked(Again.SAME_STEPS)} | nothing where each optimizer step has the same rows: `batch_rows` x `accumulation` x `devices` stays and no step crosses the end of an epoch, or `accumulation` x `devices` stays with `batch_tokens`; else the student is trained anew |
| {marked(Again.NOTHING)}; the name or the place of a plan, a student, a seed or a value on an axis | nothing: samples and runs go on under the new name |
| `rationales`, `teachers` and what chooses samples, of a student that reads none (`fine-tune`) | nothing |
| every other key | nothing of what is stored |
"""


def _section(title: str, definition: dict[str, Any], note: str) -> str:
    purpose = str(definition.get("description", "")).splitlines()[0]
    if purpose.startswith(f"`{title}`: "):
        purpose = purpose.removeprefix(f"`{title}`: ")
        purpose = purpose[:1].upper() + purpose[1:]
    required = definition.get("required", ())
    rows = [
        f"| `{name}` | {words(field)} | {_default(field, name in required)} | {_meaning(field)} |"
        for name, field in definition["properties"].items()
    ]
    head = ["| key | value | default | meaning |", "|---|---|---|---|"]
    return "\n".join([f"## `{title}`", "", f"{purpose} {note}".strip(), "", *head, *rows, ""])


def _variants(title: str, key: str, meaning: str, variants: Mapping[str, Documented]) -> str:
    """The values of a key, from their registry."""
    rows = [f"| `{name}` | {_cell(each.documentation)} |" for name, each in variants.items()]
    return "\n".join([f"{title}:", "", f"| `{key}` | {meaning} |", "|---|---|", *rows, ""])


def _meaning(field: dict[str, Any]) -> str:
    return _cell(str(field.get("description", "")))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _default(field: dict[str, Any], required: bool) -> str:
    if required:
        return "*required*"
    if "default" not in field:
        return "unset"
    return "see below" if "$ref" in field else f"`{_toml(field['default'])}`"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return str(value)


def words(field: dict[str, Any]) -> str:
    """The values that a key takes, in words.

    Args:
        field: the key's schema.
    """
    if variants := field.get("anyOf") or field.get("oneOf"):
        members = list(dict.fromkeys(words(each) for each in variants))
        if "number" in members and "whole number" in members:
            members.remove("whole number")
        return " or ".join(members)
    if "$ref" in field:
        return "table"
    if "const" in field:
        return f"`{_toml(field['const'])}`"
    if "enum" in field:
        return " or ".join(f"`{_toml(value)}`" for value in field["enum"])
    kind = field.get("type")
    if kind == "array":
        least, most = field.get("minItems", 0), field.get("maxItems")
        size = f" of {most}" if most and most == least else f" (at least {least})" if least else ""
        return f"list{size}: {words(field['items'])}"
    if kind == "object":
        values: Any = field.get("additionalProperties")
        return f"table: {words(values if isinstance(values, dict) else {})}"
    limits = "".join(f", {sign} {_number(field[key])}" for key, sign in LIMITS.items() if key in field)
    return TYPES.get(str(kind), "any value") + limits


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Writes the page and the schema."""
    for target, text in ((TARGET, document()), (SCHEMA, schema_text())):
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
