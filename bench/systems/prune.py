"""Pruning: planted duplicates are found, and a quarter of a trained student's neurons costs little.

Nano students of multi-step arithmetic. With `broken`, mutual information is taken of activations that do not belong to the same tokens, and the rows are
measured with the neurons mixed up.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.systems._nano import accuracy, batches, lessons, loss, opened, said, taught
from bench.systems.gates import Gate

SEEDS = (0, 1, 2)
STEPS = 900
DUPLICATES = 12
SHARE = 0.25
COST, BROKEN_COST, LOSS = 0.03, 0.30, 0.01


def gates(broken: bool) -> Iterator[Gate]:
    """The gates of pruning, in order."""
    from engine.students.architecture import DECODER

    seeds = SEEDS[:1] if broken else SEEDS  # one is enough to see it
    with tempfile.TemporaryDirectory() as folder:
        rows, held = lessons("multi_step_arithmetic", 350, 100)
        form, tokenizer = opened(Path(folder), rows)
        students = [taught(form, tokenizer, rows, seed=seed, steps=STEPS) for seed in seeds]
        calibration = batches(form, rows[::5])
        found, before, after = [], [], []
        for seed, student in zip(seeds, students, strict=True):
            planted, pairs = with_duplicates(student, seed)
            seen = observed(planted, calibration, seed)
            if broken:
                seen = elsewhere(seen, seed)
            found.append(duplicates_found(planted, seen, pairs))
            before.append(loss(planted, form, held))
            cut(
                planted, seen, criterion="mutual-information", share=DUPLICATES / (96 + DUPLICATES), seed=seed
            )
            after.append(loss(planted, form, held))
        yield Gate(
            name="planted duplicates found by mutual information",
            figure=f"{', '.join(f'{each} of {3 * DUPLICATES}' for each in found)}; loss {said(before)} before, {said(after)} after",
            threshold=f"all, and a loss of at most {LOSS:g} more",
            passed=all(each == 3 * DUPLICATES for each in found)
            and all(new <= old + LOSS for old, new in zip(before, after, strict=True)),
            seeds=seeds,
        )
        intact, pruned = [], []
        for seed, student in zip(seeds, students, strict=True):
            intact.append(accuracy(student, form, tokenizer, held))
            seen = observed(student, calibration, seed)
            if broken:
                seen = mixed_up(seen, seed)
            small = copy.deepcopy(student)
            cut(small, seen, criterion="activation", share=SHARE, seed=seed)
            pruned.append(accuracy(small, form, tokenizer, held))
        yield Gate(
            name="a quarter less, by activation and refitted",
            figure=f"accuracy {said(pruned)}, intact {said(intact)}",
            threshold=f"at most {COST:g} less on each seed",
            passed=all(new >= old - COST - 1e-9 for old, new in zip(intact, pruned, strict=True)),
            seeds=seeds,
        )
        noticed = []
        for seed, student in zip(seeds, students, strict=True):
            seen = observed(student, calibration, seed)
            small = copy.deepcopy(student)
            cut(
                small,
                seen if broken else mixed_up(seen, seed),
                criterion="activation",
                share=SHARE,
                seed=seed,
            )
            noticed.append(accuracy(small, form, tokenizer, held))
        yield Gate(
            name="the same with the neurons of the rows mixed up",
            figure=f"accuracy {said(noticed)}",
            threshold=f"at least {BROKEN_COST:g} less on each seed",
            passed=all(new <= old - BROKEN_COST for old, new in zip(intact, noticed, strict=True)),
            seeds=seeds,
        )
        yield _checkpoint(Path(folder) / "small", small, students[-1], DECODER, calibration, broken)
        if not broken:
            yield from _beside(students, form, tokenizer, rows, held, calibration)


def _beside(
    students: list[Any], form: Any, tokenizer: Any, rows: Any, held: Any, calibration: Any
) -> Iterator[Gate]:
    """The other criteria and a recovery, which nothing is required of: the first seed."""
    student, asked = students[0], held[:60]
    seen = observed(student, calibration, 0)
    for share in (SHARE, 0.5):
        figures = []
        for criterion in ("activation", "magnitude", "mutual-information", "random"):
            for refit in (True, False):
                small = copy.deepcopy(student)
                cut(small, seen, criterion=criterion, share=share, refit=refit, seed=0)
                value = accuracy(small, form, tokenizer, asked)
                figures.append(f"{criterion}{' refitted' if refit else ''} {value:.2f}")
        yield Gate(
            name=f"criteria at a share of {share:g} (reported)",
            figure="; ".join(figures),
            threshold="none",
            passed=True,
            seeds=(0,),
        )
    small = copy.deepcopy(student)
    cut(small, seen, criterion="activation", share=0.5, seed=0)
    lost = accuracy(small, form, tokenizer, asked)
    recovered = taught(form, tokenizer, rows, seed=1, steps=200, rate=2e-3, start=small)
    yield Gate(
        name="half cut, then recovered by 200 steps (reported)",
        figure=f"accuracy {accuracy(student, form, tokenizer, asked):.2f}, {lost:.2f}, {accuracy(recovered, form, tokenizer, asked):.2f}",
        threshold="none",
        passed=True,
        seeds=(0,),
    )


def observed(model: Any, calibration: Any, seed: int) -> Mapping[str, Any]:
    """What its neurons do on the rows."""
    from engine.students.architecture import DECODER
    from engine.students.pruning import observe

    return observe(model, DECODER, calibration, seed=seed, check=lambda: None)


def cut(
    model: Any, seen: Mapping[str, Any], *, criterion: str, share: float, seed: int, refit: bool = True
) -> None:
    """Prunes it in place."""
    from engine.students.pruning import prune

    prune(model, seen, share=share, criterion=criterion, refit=refit, seed=seed)


def with_duplicates(student: Any, seed: int) -> tuple[Any, list[tuple[int, int]]]:
    """A student of the same function with more neurons: copies of some, rescaled, that share what the originals wrote."""
    import torch

    from engine.students.activations import weight_of
    from engine.students.feed_forward import networks_of, set_width

    model = copy.deepcopy(student)
    shape, networks = networks_of(model)
    draw = torch.Generator().manual_seed(seed)
    width = networks[0].width
    originals = torch.randperm(width, generator=draw)[:DUPLICATES]
    for network in networks:
        scale = torch.rand(DUPLICATES, generator=draw, dtype=torch.float64) * 4 + 0.25
        into = [weight_of(layer) for layer in network.into]
        out = weight_of(network.out)
        out[originals] /= 2
        wide = torch.cat([out, out[originals] / scale[:, None]])
        network.cut(torch.cat([torch.arange(width), originals]), wide)
        up = torch.cat([into[-1], into[-1][:, originals] * scale], 1)
        network.into[-1].weight.data.copy_(up.T)
    set_width(model, shape, width + DUPLICATES)
    return model, [(int(one), width + place) for place, one in enumerate(originals)]


def duplicates_found(model: Any, seen: Mapping[str, Any], pairs: list[tuple[int, int]]) -> int:
    """How many pairs lose one of their two, if as many neurons go as there are pairs."""
    import torch

    from engine.students.feed_forward import networks_of
    from engine.students.pruning import by_mutual_information

    found = 0
    for network in networks_of(model)[1]:
        gone = by_mutual_information(network, seen[network.name], torch.Generator())[: len(pairs)].tolist()
        found += sum(len({*gone} & {*pair}) == 1 for pair in pairs)
    return found


def elsewhere(seen: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Each neuron's sampled activations in an order of its own."""
    import torch

    from engine.students.pruning import Seen

    draw = torch.Generator().manual_seed(seed)
    return {
        name: Seen(
            each.gram,
            torch.stack([column[torch.randperm(len(column), generator=draw)] for column in each.sample.T], 1),
        )
        for name, each in seen.items()
    }


def mixed_up(seen: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The neurons' activations under each other's numbers."""
    import torch

    from engine.students.pruning import Seen

    draw = torch.Generator().manual_seed(seed)
    found = {}
    for name, each in seen.items():
        order = torch.randperm(len(each.gram), generator=draw)
        found[name] = Seen(each.gram[order][:, order], each.sample[:, order])
    return found


def _checkpoint(
    place: Path, small: Any, whole: Any, architecture: Any, calibration: Any, broken: bool
) -> Gate:
    """Whether the file is smaller as computed, and gives the same logits to the bit once it is loaded."""
    import torch

    from engine.students.exported_student import load_copy

    small.save_pretrained(place)
    if broken:
        small.get_input_embeddings().weight.data[0] += 1e-3
        small.model.norm.weight.data.mul_(1.01)
    again = load_copy(place, "cpu")
    inputs = {name: torch.from_numpy(value) for name, value in calibration[0].inputs.items()}
    with torch.inference_mode():
        same = torch.equal(architecture.logits(again, inputs), architecture.logits(small, inputs))
    counts = [sum(each.numel() for each in model.parameters()) for model in (whole, again)]
    fewer = 3 * 24 * 3 * 32
    return Gate(
        name="saved and loaded",
        figure=f"{counts[0]:,} weights, then {counts[1]:,}; logits {'equal to the bit' if same else 'differ'}",
        threshold=f"{fewer:,} fewer, equal",
        passed=same and counts[0] - counts[1] == fewer,
    )
