"""What does not fit between a base, its tokenizer and the questions: found before training, refused or noted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from engine.errors import JobFailed
from engine.forms import TokenForm
from engine.students.room import Asked
from engine.students.spec import EvalRow
from engine.students.token_rows import TokenRow

BALANCED = ("router_aux_loss_coef", "aux_loss_alpha", "router_z_loss_coef")
"""The factor of a load-balancing loss in the configurations of mixtures of experts."""


def check_tokens(
    model: Any, base: str, rows: Iterable[TokenRow], questions: Sequence[tuple[EvalRow, Asked]]
) -> None:
    """Checks that the model knows every token of the training rows and of the dev and test questions.

    Raises:
        JobFailed: it has no embedding for one of them.
    """
    found = [
        *((int(row.ids.max()), "the training rows") for row in rows),
        *(
            (max(asked.ids, default=0), f"{row.split} question {row.question_id} of {row.task}")
            for row, asked in questions
        ),
    ]
    highest, where = max(found, key=lambda each: each[0])
    _check(highest, where, model, base)


def check_ids(model: Any, base: str, asked: Iterable[Asked]) -> None:
    """Checks that the model knows every token of some prompts.

    Raises:
        JobFailed: it has no embedding for one of them.
    """
    highest = max((max(each.ids, default=0) for each in asked), default=0)
    _check(highest, "the prompts", model, base)


def _check(highest: int, where: str, model: Any, base: str) -> None:
    known = model.get_input_embeddings().num_embeddings
    if highest >= known:
        raise JobFailed(
            f"the tokenizer of {base} produces token {highest} ({where}), but the model has {known} embeddings: tokenizer and model do not match"
        )


def end_note(tokenizer: Any, form: TokenForm, base: str) -> str:
    """A note if the tokenizer has no end token, and what that means.

    Raises:
        JobFailed: nothing else ends a completion.
    """
    if form.ends:
        return ""
    if not form.end_text:
        raise JobFailed(
            f"the tokenizer of {base} has no end token (eos_token), so the student could not end an answer: add it to tokenizer_config.json"
        )
    return (
        f"the tokenizer of {base} has no end token (eos_token): the student ends an answer with"
        f" {form.end_text.strip()!r} and goes on, so every answer takes"
        " evaluation.max_new_tokens to write; what follows the mark is not read"
    )


def expert_note(model: Any) -> str:
    """A note if the base is a mixture of experts that is usually trained with a load-balancing loss."""
    config = model.config.get_text_config()
    if not any(getattr(config, name, None) for name in BALANCED):
        return ""
    return (
        f"{type(model).__name__} is a mixture of experts: it is trained without its load-balancing loss"
        " (the default of transformers), so in long trainings a few experts may take most tokens"
    )


def room_notes(questions: Sequence[tuple[EvalRow, Asked]], most: int) -> Iterator[str]:
    """Notes on questions that do not fit into the context, or leave less room than an answer may take."""
    for split in ("dev", "test"):
        asked = [each for row, each in questions if row.split == split]
        if unasked := [each for each in asked if not each.count]:
            longest = max(len(each.ids) for each in unasked)
            yield (
                f"{len(unasked):,} of {len(asked):,} {split} questions are longer than the student's context (up to"
                f" {longest:,} tokens): they are not asked, and count as wrong"
            )
        if short := [each.count for each in asked if 0 < each.count < most]:
            yield (
                f"{len(short):,} of {len(asked):,} {split} questions leave less than evaluation.max_new_tokens ="
                f" {most:,} tokens of the student's context for the answer (at least {min(short):,})"
            )
