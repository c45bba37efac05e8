"""One model of several students that began with the same weights: their mean, or what comes closest to each on its own rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from engine.config.base import Identity, Positive, Section
from engine.config.derived import DerivedConfig
from engine.students.operations._by_dev import best_on_dev, listed
from engine.students.operations.base import LearnedRows, Made, Operation, Work
from engine.students.spec import SourceStudent

if TYPE_CHECKING:
    import torch


SUM = "sum"
Alpha = Annotated[float, Field(ge=0, le=1)]


class MergeRule(Section):
    """`merge` of `[[derived]] make = "merge"`."""

    rule: Annotated[Literal["mean", "regmean", "regmean++"], Identity.IF_SET] = "mean"
    """mean: of the weights. regmean (Jin et al. 2023): each linear layer is the one that comes closest to the outputs of all students' layers on their own rows; everything else is the mean. regmean++: the same, block by block, on what the merged blocks before write. The report shows the simple mean, the common ancestor and a joint student beside it."""

    alpha: Annotated[Alpha | Annotated[list[Alpha], Field(min_length=1)], Identity.IF_SET] = 0.9
    """How much of the Gram matrices' entries off the diagonal counts: 1 is the exact solution on the rows, less trusts them less. In a list, each value is tried, and dev decides. Not of rule = "mean"."""

    @model_validator(mode="after")
    def _has_effect(self) -> Self:
        if self.rule == "mean" and self.alpha != 0.9:
            raise ValueError(
                'merge.alpha has no effect with rule = "mean": remove it, or choose rule = "regmean"'
            )
        return self


class MergeConfig(DerivedConfig):
    """`[[derived]] make = "merge"`: one model with the weights of several."""

    make: Annotated[Literal["merge"], Identity.ALWAYS] = "merge"
    """The operation. It makes one student for each task on which all members have one; of a single name with several tasks, or of names that share none, one student of all these tasks (its scope is `joint`)."""

    merge: Annotated[MergeRule, Identity.IF_SET] = Field(default_factory=MergeRule)
    """How weights are merged."""

    calibration: Annotated[Positive, Identity.IF_SET] = 256
    """Rows of each student that its layers' inputs are taken from, drawn by `seed`. Not of rule = "mean"."""

    @model_validator(mode="after")
    def _calibrates(self) -> Self:
        if self.merge.rule == "mean" and self.calibration != 256:
            raise ValueError(
                'calibration has no effect with merge.rule = "mean": remove it, or choose rule = "regmean"'
            )
        return self


@dataclass(frozen=True, kw_only=True)
class Merge(Operation[MergeConfig]):
    """Adds the weights up in float64, one student after the other, and divides. RegMean goes on from there."""

    def said(self, settings: MergeConfig) -> Sequence[str]:
        """Its rule."""
        return [f"rule {settings.merge.rule}"]

    def make(self, sources: Sequence[SourceStudent], settings: MergeConfig, work: Work) -> Made:
        """What is costly is kept, so a killed run goes on behind it."""
        from engine.students.exported_student import load_copy
        from engine.students.regmean import fill

        mean = self._mean(sources, work)
        model = load_copy(Path(sources[0].directory), work.device)
        own = model.state_dict()
        apart = sum(
            float((own[name].cpu().double() - tensor).square().sum()) for name, tensor in mean.items()
        )
        fill(model, mean)
        figures = {"students": len(sources), "distance": apart**0.5}
        if settings.merge.rule == "mean":
            return Made(model=model, figures=figures)
        for split in ("dev", "test"):
            if (correct := work.score(model, split)) is not None:
                figures[f"mean_{split}"] = correct
        del model, own
        rows = [work.rows(source, settings.calibration) for source in sources]
        figures["rows"] = sum(len(each.tokens) for each in rows)
        closest = self._regmean if settings.merge.rule == "regmean" else self._by_block
        merged, told = closest(sources, rows, mean, settings, work)
        return Made(model=merged, figures=figures | told)

    def _mean(self, sources: Sequence[SourceStudent], work: Work) -> dict[str, torch.Tensor]:
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
        return {name: tensor / len(sources) for name, tensor in total.items()}

    def _regmean(
        self,
        sources: Sequence[SourceStudent],
        rows: Sequence[LearnedRows],
        mean: dict[str, torch.Tensor],
        settings: MergeConfig,
        work: Work,
    ) -> tuple[Any, dict[str, float]]:
        """Each student reads its own rows once; each alpha is solved from the same Gram matrices."""
        from engine.students import regmean
        from engine.students.activations import even_batches, linear_layers
        from engine.students.exported_student import load_copy

        grams = []
        for place, (source, own) in enumerate(zip(sources, rows, strict=True), 1):
            kept = work.kept(f"gram-{place}")
            if kept is None:
                model = load_copy(Path(source.directory), work.device)
                kept = regmean.grams_of(model, own, even_batches(own.tokens, own.architecture), work.check)
                work.keep(f"gram-{place}", kept)
                del model
            grams.append(kept)
        layers = [linear_layers(load_copy(Path(source.directory), "cpu")) for source in sources]

        def make(alpha: float) -> tuple[Any, dict[str, float]]:
            found, off, off_mean = {}, 0.0, 0.0
            for name, weight, own, simple in regmean.merged_layers(grams, layers, alpha):
                work.check()
                found[name], off, off_mean = weight, off + own, off_mean + simple
            model = load_copy(Path(sources[0].directory), work.device)
            regmean.fill(model, mean)
            regmean.write(model, found)
            return model, {"objective": off, "objective_mean": off_mean}

        return best_on_dev("alpha", listed(settings.merge.alpha), make, work)

    def _by_block(
        self,
        sources: Sequence[SourceStudent],
        rows: Sequence[LearnedRows],
        mean: dict[str, torch.Tensor],
        settings: MergeConfig,
        work: Work,
    ) -> tuple[Any, dict[str, float]]:
        """The students' earlier blocks are replaced by merged ones before a block's inputs are taken."""
        from engine.students import regmean
        from engine.students.activations import even_batches
        from engine.students.exported_student import load_copy

        batches = [even_batches(own.tokens, own.architecture) for own in rows]

        def make(alpha: float) -> tuple[Any, dict[str, float]]:
            models = [load_copy(Path(source.directory), work.device) for source in sources]
            blocks = regmean.blocks_of(models[0], rows[0], batches[0][0], work.check)
            inside = tuple(filter(None, map(regmean.prefix_of, blocks)))
            merged = load_copy(Path(sources[0].directory), work.device)
            regmean.fill(merged, mean)
            outside = {name: tensor for name, tensor in mean.items() if not name.startswith(inside)}
            for model in models:
                regmean.fill(model, outside)
            figures = {"objective": 0.0, "objective_mean": 0.0}
            for place, names in enumerate(blocks):
                told = self._block(place, names, alpha, models, rows, batches, work)
                for key in figures:
                    figures[key] += float(told.pop(f".{key}"))
                regmean.write(merged, told)
                prefix = regmean.prefix_of(names)
                now = {
                    name: tensor
                    for name, tensor in merged.state_dict().items()
                    if name in mean
                    and (name.startswith(prefix) if prefix else name.rpartition(".")[0] in names)
                }
                for model in models:
                    regmean.fill(model, now)
            return merged, figures

        return best_on_dev("alpha", listed(settings.merge.alpha), make, work)

    def _block(
        self,
        place: int,
        names: Sequence[str],
        alpha: float,
        models: Sequence[Any],
        rows: Sequence[LearnedRows],
        batches: Sequence[Any],
        work: Work,
    ) -> dict[str, torch.Tensor]:
        """The merged layers of a block, and their objectives under names with a point."""
        import torch

        from engine.students import regmean
        from engine.students.activations import linear_layers

        key = f"block-{alpha:g}-{place}"
        if (kept := work.kept(key)) is not None:
            return kept
        grams = [
            regmean.block_grams(model, own, each, names, work.check)
            for model, own, each in zip(models, rows, batches, strict=True)
        ]
        found: dict[str, torch.Tensor] = {}
        off, off_mean = 0.0, 0.0
        for name, weight, own_off, simple in regmean.merged_layers(
            grams, [*map(linear_layers, models)], alpha
        ):
            found[name], off, off_mean = weight, off + own_off, off_mean + simple
        found[".objective"] = torch.tensor(off, dtype=torch.float64)
        found[".objective_mean"] = torch.tensor(off_mean, dtype=torch.float64)
        work.keep(key, found)
        return dict(found)


OPERATION = Merge(
    name="merge",
    title="merged weights",
    documentation="one model whose weights are the mean of those of several students that began with the same weights, or by RegMean what comes closest"
    " to each of them on its own rows. It helps where they have stayed near their beginning",
    settings=MergeConfig,
    reads_weights=True,
    needs="initialisation",
    least=2,
    across=True,
    baselines={"mean": "simple mean"},
)
