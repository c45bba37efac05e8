"""Data sets whose columns are known: the paper's, and similar ones. A new data set is one entry of `KNOWN_DATASETS`.

`hf:gsm8k` reads `hf:openai/gsm8k:main` with its mapping; a copy in a local folder is recognised by its columns. A
`[tasks.NAME.fields]` of the configuration overrides both.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.config.tasks import AnswerFormat, FieldsConfig
from engine.question import Split
from engine.tasks.columns import needed_columns


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownDataset:
    """A data set, the mapping that reads it, and the answer formats that fit it.

    `names` are its names on the hub; the first one is read.
    """

    names: tuple[str, ...]
    fields: FieldsConfig
    formats: tuple[AnswerFormat, ...]
    config: str | None = None
    splits: Mapping[str, Split] = field(default_factory=dict)
    """The data set's splits to ours; empty: by their names."""
    answer_mark: str | None = None
    """A text in the first answer by which a copy is recognised whose columns are only question and answer."""
    on_hub: bool = True
    """False if its authors publish files and the hub has no data set in their format."""


_SUM = FieldsConfig(question="sQuestion", answer="lSolutions")

KNOWN_DATASETS: dict[str, KnownDataset] = {
    "gsm8k": KnownDataset(
        names=("openai/gsm8k", "gsm8k"),
        config="main",
        fields=FieldsConfig(
            answer_pattern=r"####\s*(\S[^\n]*)",
            rationale="answer",
            rationale_pattern=r"(?s)\A(.*?)\s*####[^#]*\Z",
        ),
        formats=("number", "math"),
        answer_mark="\n#### ",
    ),
    "svamp": KnownDataset(
        names=("ChilleD/SVAMP",),
        fields=FieldsConfig(question="{Body} {Question}", answer="Answer", id="ID"),
        formats=("number", "math"),
    ),
    "multiarith": KnownDataset(
        names=("ChilleD/MultiArith",),
        fields=FieldsConfig(answer="final_ans"),
        formats=("number", "math"),
    ),
    "aqua": KnownDataset(
        names=("deepmind/aqua_rat", "aqua_rat"),
        config="raw",
        fields=FieldsConfig(answer="correct", choices="options", rationale="rationale"),
        formats=("choice",),
    ),
    "commonsense_qa": KnownDataset(
        names=("tau/commonsense_qa", "commonsense_qa"),
        fields=FieldsConfig(answer="answerKey", choices="choices", id="id"),
        formats=("choice",),
        splits={"train": "train", "validation": "test"},  # the test split's answers are not public
    ),
    "strategy_qa": KnownDataset(
        names=("ChilleD/StrategyQA",),
        fields=FieldsConfig(rationale="facts", id="qid"),
        formats=("yes_no",),
    ),
    "addsub": KnownDataset(names=("addsub",), fields=_SUM, formats=("number", "math"), on_hub=False),
    "single_eq": KnownDataset(names=("single_eq",), fields=_SUM, formats=("number", "math"), on_hub=False),
    "math_500": KnownDataset(
        names=("HuggingFaceH4/MATH-500",),
        fields=FieldsConfig(question="problem", answer="answer", rationale="solution", id="unique_id"),
        formats=("math",),
    ),
    "math": KnownDataset(
        names=("EleutherAI/hendrycks_math",),
        fields=FieldsConfig(
            question="problem", answer="solution", answer_pattern="boxed", rationale="solution"
        ),
        formats=("math",),
    ),
}


def by_name(name: str) -> KnownDataset | None:
    """The data set with one of our names, or a name on the hub."""
    if name in KNOWN_DATASETS:
        return KNOWN_DATASETS[name]
    return next((known for known in KNOWN_DATASETS.values() if name in known.names), None)


def recognised(columns: Collection[str], first: Mapping[str, Any]) -> KnownDataset | None:
    """The data set of which a table with these columns and this first row is a copy, or None."""
    if not {"question", "answer"} <= set(columns):
        return by_columns(columns)
    answer = str(first.get("answer", ""))
    return next(
        (known for known in KNOWN_DATASETS.values() if known.answer_mark and known.answer_mark in answer),
        None,
    )


def by_columns(columns: Collection[str]) -> KnownDataset | None:
    """The data set whose own columns are all there; of several, the one with the most columns."""
    fitting = []
    for known in KNOWN_DATASETS.values():
        wanted = set(needed_columns(known.fields, named=False))
        if wanted <= set(columns) and wanted - {"question", "answer"}:
            fitting.append(known)
    return max(fitting, key=lambda known: len(needed_columns(known.fields, named=False)), default=None)
