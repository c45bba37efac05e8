"""The wording of a strategy on a task: templates in place of its own, and worked examples.

A wording is part of what a teacher sees. It belongs to a plan's fingerprint, and to its stored settings, so that what was
sent for an old sample can be shown after the configuration changed. The default wording is not part of a fingerprint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from engine.question import Exemplar


@dataclass(frozen=True, kw_only=True, slots=True)
class Wording:
    """Templates (None: the strategy's own) and examples."""

    prompt: str | None = None
    answer_prompt: str | None = None
    trigger: str | None = None
    exemplar: str | None = None
    exemplars: tuple[Exemplar, ...] = ()

    @property
    def stored(self) -> dict[str, Any]:
        """The differences from the default, as JSON values; empty for the default."""
        kept = {name: value for name, value in asdict(self).items() if value}
        return {**kept, "exemplars": list(kept["exemplars"])} if "exemplars" in kept else kept

    @classmethod
    def restored(cls, stored: Mapping[str, Any]) -> Wording:
        """The wording that was stored."""
        texts = {name: stored.get(name) for name in ("prompt", "answer_prompt", "trigger", "exemplar")}
        return cls(**texts, exemplars=tuple(Exemplar(**each) for each in stored.get("exemplars", ())))


PLAIN = Wording()
