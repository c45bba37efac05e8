"""The card of an exported training set: its contents, what was dropped, the teachers, and what its licence depends on. Pure.

Text that others wrote (names, models) is written in table cells of one line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
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
class Card:
    """The contents of a card."""

    file: str
    form: str
    version: str
    parts: Sequence[CardPart]
    teachers: Sequence[CardTeacher]
    tasks: Sequence[CardTask]
    excluded: Sequence[str] = field(default_factory=list)
    """Teachers whose terms forbid training."""


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
    "think": "`messages` with the question, and the rationale in `<think>…</think>` followed by the answer; ids and label as further fields.",
}


def data_card(card: Card) -> str:
    """The card in Markdown, with the front matter that hubs read."""
    rows = sum(part.rows for part in card.parts)
    lines = [
        *("---", "license: other", "task_categories: [text-generation]"),
        *("tags: [reasoning, distillation, fine-tune-cot]", "---", ""),
        f"# Training set {_cell(card.file)}",
        "",
        (
            f"{rows:,} rows for students of Fine-tune-CoT (Ho et al. 2023). {MADE_BY} {_cell(card.version)}. Rationales were"
            " written by language models, graded against the gold answers and filtered. They have not been reviewed by people."
        ),
        "",
        FORMS[card.form],
        "",
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
