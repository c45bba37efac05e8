"""The models of a student in parts: each writes the turns of its roles."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from engine.methods import Asking, Method
from engine.students.conversations import Write
from engine.students.room import Completion


class PartModels(torch.nn.Module):
    """Models by part. Configuration and generation are described by the first; a prompt must fit into the one that is asked."""

    def __init__(self, models: Mapping[str, Any]) -> None:
        super().__init__()
        self.parts = torch.nn.ModuleDict(models)
        first = next(iter(models.values()))
        self.config = copy.deepcopy(first.config)
        self.generation_config = first.generation_config

    @property
    def device(self) -> torch.device:
        """Of its weights."""
        return next(self.parameters()).device


def by_part(writers: Mapping[str, Write], method: Method) -> Write:
    """A writer that has each turn written by the part whose role it is."""

    def write(asked: Sequence[str | Asking], temperature: float | None) -> list[Completion]:
        found: dict[int, Completion] = {}
        for part, own in writers.items():
            places = [at for at, each in enumerate(asked) if part_of(each, method) == part]
            if places:
                found |= zip(places, own([asked[at] for at in places], temperature), strict=True)
        return [found[at] for at in range(len(asked))]

    return write


def part_of(asked: str | Asking, method: Method) -> str:
    """The part that writes a turn; the first one a text without turns."""
    role = asked.role if isinstance(asked, Asking) else ""
    return next((part for part, roles in method.parts.items() if role in roles), next(iter(method.parts)))
