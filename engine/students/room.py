"""How many tokens the answer to each question may have. A question has its own room, whatever it is asked with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.forms import TokenForm
from engine.methods import Asking
from engine.students.adapters import prefix_tokens

if TYPE_CHECKING:
    from engine.students.architecture import Architecture


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as the student reads it."""

    ids: list[int] = field(default_factory=list)
    count: int = 0
    """The largest number of tokens of its answer; with 0 it is not asked."""
    reason: str = ""
    """Why it is not asked."""
    text: str = ""
    """A text that the tokenizer turns into these ids, for servers that take no ids; empty: there is none."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a student wrote."""

    text: str = ""
    unasked: str = ""
    """Why the student was not asked. Empty: it was."""
    ended: bool | None = None
    """Whether it ended by itself, and not at the token limit; None: unknown."""
    prompt_tokens: int = 0
    tokens: int = 0
    """Written; with the token that ended it."""
    flops: float = 0.0
    """Of reading the prompt and writing it, without what a batch adds."""
    turns: int = 1
    ids: tuple[int, ...] = ()
    """What was written, without the token that ended it; empty where that is not known."""
    seconds: float = field(default=0.0, compare=False)
    """Its share of the time that its batch took, where a server measures it."""


def positions(model: Any, *, taken: int = 0) -> int | None:
    """The context length of a model, without its prefix and what else is `taken`; None if it has no limit."""
    limit = config_positions(model.config)
    return None if limit is None else limit - prefix_tokens(model) - taken


def config_positions(config: Any) -> int | None:
    """The context length in a model configuration; None if it has no limit."""
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def read_questions(
    form: TokenForm,
    questions: Sequence[str | Asking],
    architecture: Architecture,
    *,
    limit: int | None,
    most: int,
) -> list[Asked]:
    """The questions, or turns, with the room of each: `most` tokens, or what a context of `limit` tokens leaves."""
    return [give_room(ids, architecture, limit=limit, most=most) for ids in form.asked_ids(questions)]


def give_room(ids: list[int], architecture: Architecture, *, limit: int | None, most: int) -> Asked:
    """A prompt with its room."""
    count = most if limit is None else max(0, min(most, architecture.room(len(ids), limit)))
    if count:
        return Asked(ids, count)
    return Asked(
        ids, 0, f"not asked: the question has {len(ids):,} tokens and the student's context {limit:,}"
    )


def written_alone_beyond(config: Any) -> int | None:
    """The length beyond which the positions of a sequence depend on the longest one of its batch; None: they never do.

    So it is with RoPE that is scaled by the length (Phi-3's longrope, dynamic NTK).
    """
    text = config.get_text_config()
    rope = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None) or {}
    kinds = [rope, *(value for value in rope.values() if isinstance(value, dict))]
    by_length = [each for each in kinds if each.get("rope_type") in ("longrope", "dynamic")]
    if not by_length:
        return None
    limit = text.max_position_embeddings
    return min(int(each.get("original_max_position_embeddings") or limit) for each in by_length)
