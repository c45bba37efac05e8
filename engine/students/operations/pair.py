"""A pair: an asker and a solver that answer in turn (the two models of Shridhar et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from engine.config.base import Identity
from engine.config.derived import DerivedConfig
from engine.students.operations.base import Made, Member, Operation, Work, misfit, tokenizer_digest
from engine.students.spec import SourceStudent


class PairConfig(DerivedConfig):
    """`[[derived]] make = "pair"`: the parts of a method, as one student."""

    make: Annotated[Literal["pair"], Identity.ALWAYS] = "pair"
    """The operation. `of` names the asker (`part = "ask"`) and the solver (`part = "solve"`), in this order."""


@dataclass(frozen=True, kw_only=True)
class Pair(Operation[PairConfig]):
    """Keeps both, and lets each write the turns of its roles."""

    def misfit(self, members: Sequence[Member]) -> str:
        """Each must be the part that its place says."""
        if said := misfit(members, self):
            return said
        for member, part in zip(members, self.roles, strict=True):
            if member.chain and member.part != part:
                return f'{member.name} is not the part that asks or solves: it needs part = "{part}"'
        return ""

    def refusal(self, sources: Sequence[SourceStudent]) -> str:
        """Both must be parts of one method, guided alike, with one tokenizer."""
        for source, part in zip(sources, self.roles, strict=True):
            if source.part != part:
                return f'{source.words} was not trained with part = "{part}"'
        first, other = sources
        if (first.method, first.form, first.guidance) != (other.method, other.form, other.guidance):
            return f"{first.words} and {other.words} take other turns: another method, form or guidance"
        if tokenizer_digest(Path(first.directory)) != tokenizer_digest(Path(other.directory)):
            return (
                f"{first.words} and {other.words} have other tokenizers: train both on the same rows, or let both start from one"
                ' student (base = "student:NAME")'
            )
        return ""

    def make(self, sources: Sequence[SourceStudent], settings: PairConfig, work: Work) -> Made:
        """Loads both; nothing is computed."""
        from engine.students.exported_student import load_copy
        from engine.students.part_models import PartModels

        places = {part: Path(source.directory) for part, source in zip(self.roles, sources, strict=True)}
        models = {part: load_copy(place, work.device) for part, place in places.items()}
        return Made(model=PartModels(models), files=places)

    def load(self, directory: Path, device: Any) -> Any:
        """Both, from their directories."""
        from engine.students.exported_student import load_copy
        from engine.students.part_models import PartModels

        return PartModels({part: load_copy(directory / part, device) for part in self.roles})


OPERATION = Pair(
    name="pair",
    title="an asker and a solver in turn",
    documentation='the parts of `method = "socratic"` as one student: an asker and a solver, each of which writes its own turns',
    settings=PairConfig,
    needs="tokenizer",
    roles=("ask", "solve"),
    single_model=False,
)
