"""`preset`: the settings of a publication by one name. A preset sets defaults; every key written beside it wins.

`PAPER` is Ho, Schmid, Yun (ACL 2023, arXiv 2212.10071), from the paper and from the authors' public code,
github.com/itsnamgyu/reasoning-teacher at a2ca4d2: `src/oai/inference.py` (128 tokens for each of the two turns, temperature 0,
stop "END"), `src/custom/data_module.py` (temperature 0.7 for D > 1: `ft_cot_t70_{D}aug`), `src/data/format.py` (prompts),
`custom_train.py` and `src/custom/model.py` (8 rows a batch, 20 epochs, float32, torch's AdamW at 3e-4 with its defaults: betas 0.9
and 0.999, weight decay 0.01 on all weights, no schedule, no clipping; answers of up to 1,024 tokens, evaluated after each
epoch), `src/evaluation/evaluator.py` (answers of students). docs/method.md lists what differs on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.methods import METHODS

PresetName = Literal["paper"]
Table = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """Defaults for plans, students and experiments. Nested tables are defaults key by key."""

    doc: str
    plan: Table
    single: Table
    """Of a plan that samples one rationale per question, instead of the same keys of `plan`."""
    student: Table
    untrained: Table
    """Of a student that is not trained, instead of `student`."""
    experiment: Table = field(default_factory=dict)
    """Of an experiment, besides `plan` and the tables of `student`."""


ALTERNATIVES = {"batch_rows": "batch_tokens", "epochs": "steps", "every_epochs": "dev_evaluations"}
"""Keys that a preset leaves alone where you write the other one, which says the same in another way."""

_FORM = {"type": "paper"}
_EVALUATION = {"every_epochs": 1, "max_new_tokens": 1024, "grader": "published"}

PAPER = Preset(
    doc="Ho, Schmid, Yun (ACL 2023), as published",
    plan={
        "prompts": "paper",
        "temperature": 0.7,
        "max_tokens": 128,
        "answer_max_tokens": 128,
        "stop": ["END"],
    },
    single={"temperature": 0.0},
    student={
        "form": _FORM,
        "curation": {
            "drop_duplicates": False,
            "drop_truncated": False,
            "drop_test_overlap": False,
            "max_characters": 1_000_000,
        },
        "training": {
            "epochs": 20,
            "batch_rows": 8,
            "learning_rate": 3e-4,
            "warmup": 0.0,
            "schedule": "constant",
            "weight_decay": 0.01,
            "decay": "all",
            "beta1": 0.9,
            "beta2": 0.999,
            "clip": 0.0,
            "precision": "fp32",
            "max_length": 1024,
        },
        "evaluation": _EVALUATION,
    },
    untrained={"form": _FORM, "prompts": "paper", "evaluation": _EVALUATION},
    experiment={"single_temperature": 0.0},
)

PRESETS: dict[str, Preset] = {"paper": PAPER}
"""Every preset by name."""


def for_plan(data: Any) -> Any:
    """A plan's table with the defaults of its preset; unchanged without one."""
    preset = _preset(data)
    if preset is None:
        return data
    one = data.get("rationales", 1) == 1 and not data.get("max_rationales")
    return _filled(data, {**preset.plan, **(preset.single if one else {})})


def for_student(data: Any) -> Any:
    """A student's table with the defaults of its preset; unchanged without one."""
    preset = _preset(data)
    if preset is None:
        return data
    method = METHODS.get(str(data.get("method")))
    return _filled(data, preset.student if method is None or method.trains else preset.untrained)


def for_experiment(data: Any) -> Any:
    """An experiment's table with the defaults of its preset; unchanged without one."""
    preset = _preset(data)
    if preset is None:
        return data
    tables = {name: preset.student[name] for name in ("curation", "training", "evaluation")}
    if data.get("fine_tune") is not None:
        tables["fine_tune"] = preset.student["training"]
    return _filled(data, {"plan": preset.plan, **tables, **preset.experiment})


def _preset(data: Any) -> Preset | None:
    name = data.get("preset") if isinstance(data, Mapping) else None
    return PRESETS.get(name) if isinstance(name, str) else None


def _filled(written: Mapping[str, Any], defaults: Table) -> dict[str, Any]:
    """What is written, and the defaults beside it."""
    found = dict(written)
    for name, value in defaults.items():
        own = found.get(name)
        if isinstance(own, Mapping) and isinstance(value, Mapping):
            found[name] = _filled(own, value)
        elif own is None and ALTERNATIVES.get(name) not in written:
            found[name] = dict(value) if isinstance(value, Mapping) else value
    return found


def told(name: str) -> str:
    """What a preset sets, as the text of the tables that you would write instead."""
    preset = PRESETS[name]
    single = ", ".join(f"{key} = {_toml(value)}" for key, value in preset.single.items())
    parts = [
        f"# {preset.doc}. Keys that you write beside the preset win.",
        "",
        *_lines("[[plans]]", preset.plan),
        f"# one rationale per question: {single}",
        "",
        *_lines("[[students]]", preset.student),
        "",
        '# method = "base": instead',
        *_lines("[[students]]", preset.untrained),
        "",
        "# plan, curation, training and evaluation as above, and",
        *_lines("[experiment]", preset.experiment),
    ]
    return "\n".join(parts) + "\n"


def _lines(title: str, table: Table) -> list[str]:
    return [title, *(f"{key} = {_toml(value)}" for key, value in table.items())]


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value)


def sets(*tables: Table) -> str:
    """What tables of a preset set, in one line for the documentation."""
    return ", ".join(f"`{key} = {_toml(value)}`" for table in tables for key, value in table.items())
