"""What of a model is trained, as far as the configuration needs it; `engine.students.adapters` does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from engine.students.sizes import BUILTIN

LORA_RANK = 16
"""Of LoRA, if only its name is given."""
PREFIX_TOKENS = 20


class Settings(Protocol):
    """Of `TrainingConfig`, which is built on this module, what adapters read."""

    @property
    def lora_rank(self) -> int:
        """As configured."""

    @property
    def keep_adapter(self) -> bool:
        """As configured."""

    @property
    def prefix_tokens(self) -> int:
        """As configured."""

    @property
    def zero_stage(self) -> int:
        """As configured."""

    @property
    def packing(self) -> Literal["auto"] | bool:
        """As configured."""

    @property
    def activation_checkpointing(self) -> bool:
        """As configured."""

    @property
    def compile(self) -> bool:
        """As configured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Adapter:
    """One way to train a model."""

    name: str
    documentation: str
    misfit: Callable[[Settings], str]
    """Which of the settings does not go with it, and why; empty if all do."""
    said: Callable[[Settings], str]
    """What cards call it, with its size; empty for what is expected."""
    positions: Callable[[Settings], int] = lambda _: 0
    """How many positions of the context it takes."""
    model_of_its_own: bool = True
    """Whether it makes one model, from which others can start, and which any server loads."""


def _full_misfit(training: Settings) -> str:
    if training.lora_rank:
        return 'lora_rank needs adapter = "lora": "full" trains all weights'
    if training.keep_adapter:
        return "keep_adapter needs a lora_rank: without one, there are no adapters to keep"
    return ""


def _lora_said(training: Settings) -> str:
    also = "merged, and kept as an adapter" if training.keep_adapter else "merged"
    return f"LoRA of rank {training.lora_rank} ({also})"


def _prefix_misfit(training: Settings) -> str:
    """What a prefix cannot hold with, as far as it is known."""
    reasons = {
        "lora_rank": (training.lora_rank > 0, "one adapter is trained at a time"),
        "keep_adapter": (training.keep_adapter, "a prefix is always kept as an adapter"),
        "zero_stage = 3": (
            training.zero_stage == 3,
            "generation with a prefix needs the complete model: take 0, 1 or 2",
        ),
        "activation_checkpointing": (
            training.activation_checkpointing,
            "a layer that is computed again would find the text in its cache, after the prefix",
        ),
        "packing = true": (
            training.packing is True,
            "packed rows would see the ones before them, since all share one prefix",
        ),
        "compile": (training.compile, "peft's wrapper is not compiled"),
    }
    found = next(((name, why) for name, (given, why) in reasons.items() if given), None)
    return f'adapter = "prefix" does not go with {found[0]}: {found[1]}' if found else ""


ADAPTERS = {
    each.name: each
    for each in (
        Adapter(name="full", documentation="all weights", misfit=_full_misfit, said=lambda _: ""),
        Adapter(
            name="lora",
            documentation=f"LoRA adapters on all linear layers, of rank `lora_rank` ({LORA_RANK} if none is given); they are merged at export",
            misfit=lambda training: (
                "" if training.lora_rank else 'adapter = "lora" needs a lora_rank of at least 1'
            ),
            said=_lora_said,
        ),
        Adapter(
            name="prefix",
            documentation="keys and values of `prefix_tokens` tokens before the text, in each layer (prefix-tuning, Li and Liang 2021): far fewer"
            " weights, at a learning rate of about 1e-2; the student is kept as peft's adapter, with its base beside it",
            misfit=_prefix_misfit,
            said=lambda training: f"a prefix of {training.prefix_tokens} tokens",
            positions=lambda training: training.prefix_tokens,
            model_of_its_own=False,
        ),
    )
}


def adapter_misfit(name: str, base: str, start_from: str | None, *, served_by: str, batching: str) -> str:
    """Which of a student's settings does not go with its adapter, and why; empty if all do.

    Args:
        name: of the adapter.
        base: of the student.
        start_from: of the student.
        served_by: the setting of a server that evaluates it; empty: there is none.
        batching: of its evaluation.
    """
    adapter = ADAPTERS[name]
    if adapter.model_of_its_own:
        return ""
    said = f'training.adapter = "{adapter.name}"'
    if base.startswith(BUILTIN):
        return (
            f"{said}: {base} is untrained, so there is nothing to steer: name a pretrained base, or another student"
            ' (base = "student:NAME")'
        )
    if start_from == "previous":
        return f"{said} makes no model of its own that the next run could start from: remove start_from, so that it starts from its base"
    if served_by:
        return f'evaluation.{served_by}: servers load models, and adapter = "{adapter.name}" makes none of its own: remove it'
    if batching != "static":
        return f'evaluation.batching = "{batching}" would leave the prefix out: remove it'
    return ""
