"""The mean of the weights of students that began with the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from engine.config.base import Identity
from engine.config.derived import DerivedConfig
from engine.students.operations.base import Made, Operation, Work
from engine.students.spec import SourceStudent

if TYPE_CHECKING:
    import torch


SUM = "sum"


class MergeConfig(DerivedConfig):
    """`[[derived]] make = "merge"`: one model with the mean of the weights of several."""

    make: Annotated[Literal["merge"], Identity.ALWAYS] = "merge"
    """The operation."""


@dataclass(frozen=True, kw_only=True)
class Merge(Operation[MergeConfig]):
    """Adds the weights up in float64, one student after the other, and divides."""

    def make(self, sources: Sequence[SourceStudent], settings: MergeConfig, work: Work) -> Made:
        """The sum is kept after each student, so a killed run goes on behind it."""
        from engine.students.exported_student import load_copy

        total: dict[str, torch.Tensor] = {}
        begun = 0
        for place in range(len(sources), 0, -1):
            if (kept := work.kept(f"{SUM}-{place}")) is not None:
                total, begun = kept, place
                break
        for place, source in enumerate(sources[begun:], begun + 1):
            work.check()
            weights = load_copy(Path(source.directory), "cpu").state_dict()
            for name, tensor in weights.items():
                if tensor.is_floating_point():
                    total[name] = tensor.double() + total[name] if name in total else tensor.double()
            if place < len(sources):
                work.keep(f"{SUM}-{place}", total)
        model = load_copy(Path(sources[0].directory), work.device)
        own = model.state_dict()
        apart = 0.0
        for name, tensor in total.items():
            mean = tensor / len(sources)
            apart += float((own[name].cpu().double() - mean).square().sum())
            own[name].copy_(mean)
        return Made(model=model, figures={"students": len(sources), "distance": apart**0.5})


OPERATION = Merge(
    name="merge",
    title="the mean of weights",
    documentation="one model whose weights are the mean of those of several students that began with the same weights. It helps where they"
    " have stayed near their beginning",
    settings=MergeConfig,
    needs="initialisation",
    least=2,
)
