"""A smaller student: whole neurons of its feed-forward networks are left out, equally many in each layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from engine.config.base import Identity, Positive, Section
from engine.config.derived import DerivedConfig
from engine.students.operations._by_dev import best_on_dev, listed
from engine.students.operations.base import LearnedRows, Made, Operation, Work
from engine.students.spec import SourceStudent

if TYPE_CHECKING:
    from engine.students.pruning import Seen

Share = Annotated[float, Field(gt=0, lt=1)]
KEPT = "activations"


class PruneRule(Section):
    """`prune` of `[[derived]] make = "prune"`."""

    share: Annotated[Share | Annotated[list[Share], Field(min_length=1)], Identity.ALWAYS] = 0.25
    """The share of the neurons of each feed-forward network that is left out. What stays is a multiple of 8 in networks of 512 neurons and more. In a list, each value is tried, and dev decides; of equal ones the first."""

    criterion: Annotated[
        Literal["activation", "mutual-information", "magnitude", "random"], Identity.ALWAYS
    ] = "activation"
    """Which neurons go. activation: those that contribute least to the output, on the student's own rows. mutual-information (Huang et al. 2024): one of each two that know most of each other; it finds duplicates, and harms a student that has none. magnitude: those with the smallest weights. random: any, to compare with."""

    refit: Annotated[bool, Identity.ALWAYS] = True
    """Fit the weights that read the remaining neurons to the outputs that there were, by least squares on the same rows."""


class PruneConfig(DerivedConfig):
    """`[[derived]] make = "prune"`: a smaller student."""

    make: Annotated[Literal["prune"], Identity.ALWAYS] = "prune"
    """The operation. `of` names one student; there is a smaller one for each of its tasks. To recover what it lost, train a student with `base = "student:NAME"`."""

    prune: Annotated[PruneRule, Identity.ALWAYS] = Field(default_factory=PruneRule)
    """What is left out."""

    calibration: Annotated[Positive, Identity.ALWAYS] = 256
    """Rows that the student has learned, on which its neurons are measured, drawn by `seed`."""


@dataclass(frozen=True, kw_only=True)
class Prune(Operation[PruneConfig]):
    """Measures neurons while the student reads its own rows, and cuts some out."""

    def said(self, settings: PruneConfig) -> Sequence[str]:
        """Criterion and refit."""
        rule = settings.prune
        return [f"criterion {rule.criterion}", "refitted" if rule.refit else "not refitted"]

    def make(self, sources: Sequence[SourceStudent], settings: PruneConfig, work: Work) -> Made:
        """What was measured is kept, so a killed run goes on behind it."""
        from engine.students import pruning
        from engine.students.exported_student import load_copy

        [source], rule = sources, settings.prune
        rows = work.rows(source, settings.calibration)
        seen = self._observed(source, rows, work)
        before = _size(load_copy(Path(source.directory), "cpu"), rows)

        def make(share: float) -> tuple[Any, dict[str, float]]:
            model = load_copy(Path(source.directory), work.device)
            told = pruning.prune(
                model,
                seen,
                share=share,
                criterion=rule.criterion,
                refit=rule.refit,
                seed=work.seed,
                check=work.check,
            )
            return model, told

        model, figures = best_on_dev("share", listed(rule.share), make, work)
        after = _size(model, rows)
        sizes = {
            name: value
            for key in before
            for name, value in ((f"{key}_before", before[key]), (key, after[key]))
        }
        sizes.pop("parameters")  # a run has its own
        return Made(model=model, figures={**figures, "rows": len(rows.tokens), **sizes})

    def _observed(self, source: SourceStudent, rows: LearnedRows, work: Work) -> dict[str, Seen]:
        from engine.students import pruning
        from engine.students.activations import even_batches
        from engine.students.exported_student import load_copy

        if (kept := work.kept(KEPT)) is None:
            model = load_copy(Path(source.directory), work.device)
            batches = even_batches(rows.tokens, rows.architecture)
            found = pruning.observe(model, rows.architecture, batches, seed=work.seed, check=work.check)
            kept = {f"gram {name}": each.gram for name, each in found.items()}
            kept |= {f"sample {name}": each.sample for name, each in found.items()}
            work.keep(KEPT, kept)
        names = [name.removeprefix("gram ") for name in kept if name.startswith("gram ")]
        return {name: pruning.Seen(kept[f"gram {name}"], kept[f"sample {name}"]) for name in names}


def _size(model: Any, rows: LearnedRows) -> dict[str, float]:
    """Weights, their bytes, and the FLOPs of answering one of the rows."""
    sides = rows.architecture.sides(model)
    each = [
        rows.architecture.answer_flops(model.config, sides, row.prompt, row.written) for row in rows.tokens
    ]
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "bytes": sum(parameter.numel() * parameter.element_size() for parameter in model.parameters()),
        "flops": sum(each) / len(each),
    }


OPERATION = Prune(
    name="prune",
    title="fewer neurons",
    documentation="a smaller student of the same family: neurons of its feed-forward networks are left out, equally many in each layer, so that transformers and"
    " servers load it as any other",
    settings=PruneConfig,
    reads_weights=True,
    needs="any",
    most=1,
)
