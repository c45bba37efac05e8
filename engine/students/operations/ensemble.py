"""An ensemble (Kondratyuk et al. 2020): several students answer together, by the mean of their log-probabilities or by votes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from engine.config.base import Identity
from engine.config.derived import DerivedConfig
from engine.students.operations.base import MEMBERS_FILE, Made, Operation, Work, refusal
from engine.students.spec import SourceStudent

PLACES = "members"


class EnsembleConfig(DerivedConfig):
    """`[[derived]] make = "ensemble"`: students that answer together."""

    make: Annotated[Literal["ensemble"], Identity.ALWAYS] = "ensemble"
    """The operation."""

    combine: Annotated[Literal["logits", "vote"], Identity.ALWAYS] = "logits"
    """logits: at each token the mean of the members' log-probabilities (the geometric mean of their distributions) chooses; all members need one tokenizer. vote: the answer of most members, computed from their stored answers: there is no run, and the report shows it. It also shows the vote of the seeds of an `[experiment]`, without being asked."""


@dataclass(frozen=True, kw_only=True)
class Ensemble(Operation[EnsembleConfig]):
    """Keeps all members, and lets them write together."""

    def runs(self, settings: EnsembleConfig) -> bool:
        """Votes are counted in the report."""
        return settings.combine == "logits"

    def refusal(self, sources: Sequence[SourceStudent]) -> str:
        """Members must be single models of one tokenizer."""
        for source in sources:
            if (Path(source.directory) / MEMBERS_FILE).is_file():
                return f"{source.words} is itself made of several models: name those"
        return refusal(sources, self.needs)

    def make(self, sources: Sequence[SourceStudent], settings: EnsembleConfig, work: Work) -> Made:
        """Loads the members; nothing is computed."""
        from engine.students.exported_student import load_copy
        from engine.students.logit_ensemble import LogitEnsemble

        models = []
        for source in sources:
            work.check()
            models.append(load_copy(Path(source.directory), work.device))
        directories = {f"{PLACES}/{place}": Path(each.directory) for place, each in enumerate(sources, 1)}
        return Made(model=LogitEnsemble(models), figures={"members": len(sources)}, files=directories)

    def load(self, directory: Path, device: Any) -> Any:
        """The members in its directory, in order."""
        from engine.students.exported_student import load_copy
        from engine.students.logit_ensemble import LogitEnsemble

        places = sorted((directory / PLACES).iterdir(), key=lambda place: int(place.name))
        return LogitEnsemble([load_copy(place, device) for place in places])


OPERATION = Ensemble(
    name="ensemble",
    title="an ensemble",
    documentation="several students answer together (Kondratyuk et al. 2020): by `combine`, the mean of their log-probabilities at each"
    " token, or the majority of their answers",
    settings=EnsembleConfig,
    needs="tokenizer",
    single_model=False,
)
