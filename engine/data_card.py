"""The card of an exported training set: its contents, what was dropped, the teachers, and what its licence depends on. Pure.

Text that others wrote (names, models) is written in table cells of one line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from state.safe import safe_markdown

MADE_BY = "Made by `coterie export`"
"""Part of every card, so that an export overwrites only cards that it wrote itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CardPart:
    """The rows of one student on one scope."""

    student: str
    scope: str
    method: str
    label: str
    rows: int
    alone: int
    """Rows without a rationale."""
    questions: int
    drops: dict[str, int]
    digest: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CardTeacher:
    """A teacher with rationales in the set. `allowed`: whether the configuration allows training on them."""

    name: str
    model: str
    rows: int
    allowed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class CardTask:
    """A task with questions in the set."""

    name: str
    source: str
    answer_format: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CardConfig:
    """A configuration of a data set: files of the same columns, by split."""

    name: str
    files: dict[str, str]
    """Split to the path of its file in the repository."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """The contents of a card."""

    file: str
    """The file, or what the set is called."""
    form: str
    version: str
    parts: Sequence[CardPart]
    teachers: Sequence[CardTeacher]
    tasks: Sequence[CardTask]
    excluded: Sequence[str] = field(default_factory=list)
    """Teachers whose terms forbid training."""
    configs: Sequence[CardConfig] = ()
    """The files by configuration, as hubs and `datasets.load_dataset` read them; none for a single file beside the card."""
    samples: int = 0
    """Samples that are in it as they are stored, beside the rows of students."""


FORMS = {
    "jsonl": "One example per row: question, rationale (null: the answer alone), answer, ids, label.",
    "csv": (
        "One example per row: question, rationale (empty: the answer alone), answer, ids, label. A text that a spreadsheet"
        " would compute, or that begins with an apostrophe, has an apostrophe in front."
    ),
    "parquet": "One example per row: question, rationale (null: the answer alone), answer, ids, label.",
    "openai-chat": "OpenAI's fine-tuning format: `messages` with the question, and the rationale followed by the line `Answer: …`.",
    "chat": "`messages` with the question, and the rationale followed by the line `Answer: …`; ids and label as further fields.",
    "sft": "The form of each student, as TRL's SFTTrainer reads it: `messages` for the base's chat template, or `prompt` and `completion`; ids and label as further fields.",
    "prompt-completion": "TRL's conversational prompt–completion: `prompt` is the question, `completion` the rationale followed by the line `Answer: …`; ids and label as further fields.",
    "sharegpt": "`conversations` of `human` and `gpt`, as axolotl and LLaMA-Factory read them; ids and label as further fields.",
    "alpaca": "`instruction`, an empty `input`, and `output`: the rationale followed by the line `Answer: …`; ids and label as further fields.",
    "think": "`messages` with the question, and the rationale in `<think>…</think>` followed by the answer; ids and label as further fields.",
}


def _compared(parts: Sequence[CardPart]) -> str:
    labels = {part.label for part in parts}
    if labels == {"gold"}:
        return "graded against the gold answers"
    return "compared with the label of each question (gold answer or majority of the answers; see `label`)"


def data_card(card: Card) -> str:
    """The card in Markdown, with the front matter that hubs read."""
    rows = sum(part.rows for part in card.parts)
    lines = [
        *("---", "license: other", "task_categories: [text-generation]"),
        "tags: [reasoning, distillation, fine-tune-cot]",
        *_configs(card.configs),
        *("---", ""),
        f"# Training set {_cell(card.file)}" if not card.configs else "# Training sets",
        "",
        (
            f"{rows:,} rows for students of Fine-tune-CoT (Ho et al. 2023). {MADE_BY} {_cell(card.version)}. Rationales were"
            f" written by language models, {_compared(card.parts)} and filtered. They have not been reviewed by people."
        ),
        "",
        FORMS[card.form],
        "",
        *_files(card.configs),
        *(
            [
                f"`samples.…` has {card.samples:,} samples as they are stored, right and wrong ones (`correct`), also of held-out questions: filter before you train.",
                "",
            ]
            if card.samples
            else []
        ),
        "## Rows",
        "",
        "The digest is that of the rows as JSON lines. It equals the manifest digest of a run with the same rows.",
        "",
        *_table(
            ("student", "scope", "method", "rows", "answers alone", "questions", "label", "digest (sha256)"),
            [
                (
                    part.student,
                    part.scope,
                    part.method,
                    f"{part.rows:,}",
                    f"{part.alone:,}",
                    f"{part.questions:,}",
                    part.label,
                )
                + (f"`{part.digest}`",)
                for part in card.parts
            ],
        ),
        "## Dropped",
        "",
        *_table(
            ("student", "scope", "rationales", "why"),
            [
                (part.student, part.scope, f"{count:,}", reason)
                for part in card.parts
                for reason, count in part.drops.items()
            ],
        ),
        "## Teachers",
        "",
        *_table(
            ("teacher", "model", "rationales", "training on them"),
            [
                (each.name, each.model, f"{each.rows:,}", "allowed" if each.allowed else "no longer allowed")
                for each in card.teachers
            ],
        ),
        *(
            [
                f"Excluded, because their terms do not allow training: {', '.join(map(_cell, card.excluded))}.",
                "",
            ]
            if card.excluded
            else []
        ),
        "## Questions",
        "",
        *_table(
            ("task", "source", "answer"),
            [(each.name, each.source, each.answer_format) for each in card.tasks],
        ),
        "## Licence",
        "",
        (
            "`training_allowed` in the configuration is its author's reading of the providers' terms, not legal advice."
            " Whether this set may be published or sold depends on the terms of each teacher above and on the licences of"
            " the questions, which continue to apply."
        ),
        "",
    ]
    return "\n".join(lines)


def _configs(configs: Sequence[CardConfig]) -> Iterator[str]:
    """The files, in the form that hubs read. JSON strings are YAML strings."""
    if configs:
        yield "configs:"
    for index, config in enumerate(configs):
        yield f"- config_name: {json.dumps(config.name)}"
        if index == 0:
            yield "  default: true"
        yield "  data_files:"
        for split, path in config.files.items():
            yield f"  - split: {split}"
            yield f"    path: {json.dumps(path)}"


def _files(configs: Sequence[CardConfig]) -> Iterator[str]:
    if not configs:
        return
    yield from ("## Files", "")
    yield from _table(
        ("configuration", "split", "file"),
        [(each.name, split, path) for each in configs for split, path in each.files.items()],
    )


def _table(head: Sequence[str], body: Sequence[Sequence[object]]) -> list[str]:
    if not body:
        return ["None.", ""]
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(_cell(value) for value in row)} |" for row in body),
        "",
    ]


_DIGEST = re.compile(r"`\w+`")


def _cell(value: object) -> str:
    text = str(value)
    return text if _DIGEST.fullmatch(text) else safe_markdown(text)
