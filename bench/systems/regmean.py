"""RegMean: what its algebra promises, on single layers and on nano students, and what its merges are worth (reported).

One student learns two tasks for a while, and each of two others goes on from it with one of them. With `broken`, weights are read the wrong way round, padding
is counted, and Gram matrices are those of another student.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.systems._nano import batches, lessons, loss, opened, said, taught
from bench.systems.gates import Gate

SEEDS = (0, 1, 2)
WARM_STEPS, STEPS = 250, 120
TASKS = ("multi_step_arithmetic", "coin_flip")


def gates(broken: bool) -> Iterator[Gate]:
    """The gates of RegMean, in order."""
    yield from layer_gates(broken=broken)
    yield conv1d_gate(broken=broken)
    yield from _students(broken)


def layer_gates(*, broken: bool) -> Iterator[Gate]:
    """One linear layer: pooled least squares, and the mean."""
    import torch

    from engine.students.regmean import solved

    far, off = [], []
    for seed in SEEDS:
        draw = torch.Generator().manual_seed(seed)
        inputs = [torch.randn(40 + 20 * place, 8, generator=draw, dtype=torch.float64) for place in range(3)]
        weights = [torch.randn(8, 5, generator=draw, dtype=torch.float64) for _ in inputs]
        grams = [each.T @ each for each in inputs]
        outputs = torch.cat([each @ weight for each, weight in zip(inputs, weights, strict=True)])
        pooled = torch.linalg.lstsq(torch.cat(inputs), outputs).solution
        own = grams[1:] + grams[:1] if broken else grams
        far.append(float((solved(own, weights, 1.0, 0.0) - pooled).abs().max()))
        same = torch.eye(8, dtype=torch.float64)
        identities = [same * (1 + place * broken) for place in range(3)]
        off.append(float((solved(identities, weights, 0.5) - torch.stack(weights).mean(0)).abs().max()))
    yield Gate(
        name="a layer is the least-squares fit of all rows",
        figure=f"at most {max(far):.1e} apart",
        threshold="1e-12",
        passed=max(far) <= 1e-12,
        seeds=SEEDS,
    )
    yield Gate(
        name="with identity Gram matrices it is the mean",
        figure=f"at most {max(off):.1e} apart",
        threshold="1e-15",
        passed=max(off) <= 1e-15,
        seeds=SEEDS,
    )


def conv1d_gate(*, broken: bool) -> Gate:
    """A planted layer: both students write on their rows what it writes, and differ elsewhere. A square one hides a missing transpose from shapes."""
    import torch
    from transformers.pytorch_utils import Conv1D

    from engine.students.activations import set_weight, weight_of
    from engine.students.regmean import solved

    far = []
    for seed, (inputs, outputs) in enumerate(((8, 5), (6, 6))):
        draw = torch.Generator().manual_seed(seed)
        planted = torch.randn(inputs, outputs, generator=draw, dtype=torch.float64)
        for layer in (Conv1D(outputs, inputs), torch.nn.Linear(inputs, outputs)):
            layers, grams = [], []
            for place in range(2):
                known = torch.randn(inputs - 2, inputs, generator=draw, dtype=torch.float64)
                unseen = torch.linalg.svd(known).Vh[-2:]
                own = copy.deepcopy(layer).double()
                set_weight(
                    own,
                    planted
                    + unseen.T @ torch.randn(2, outputs, generator=draw, dtype=torch.float64) * (place + 1),
                )
                layers.append(own)
                grams.append(known.T @ known)
            weights = [weight_of(own) for own in layers]
            if broken and inputs == outputs:
                weights = [weight.T for weight in weights]
            merged = copy.deepcopy(layers[0])
            set_weight(merged, solved(grams, weights, 1.0))
            far.append(float((weight_of(merged) - planted).abs().max()))
    return Gate(
        name="a planted layer is found, as Linear and as Conv1D, square or not",
        figure=f"at most {max(far):.1e} apart",
        threshold="1e-6",
        passed=max(far) <= 1e-6,
    )


def _students(broken: bool) -> Iterator[Gate]:
    """Nano students with a common ancestor."""
    from engine.students.activations import linear_layers
    from engine.students.architecture import DECODER
    from engine.students.token_rows import tokenize

    with tempfile.TemporaryDirectory() as folder:
        rows = [lessons(task, 200, 40, rationales=2) for task in TASKS]
        form, tokenizer = opened(Path(folder), [row for train, _ in rows for row in train])
        own_rows = [batches(form, train[::2]) for train, _ in rows]
        off, off_mean, turned, lines = [], [], [], []
        seeds = SEEDS[:1] if broken else SEEDS  # one is enough to see it
        for seed in seeds:
            warm = taught(
                form, tokenizer, [row for train, _ in rows for row in train], seed=seed, steps=WARM_STEPS
            )
            branches = [
                taught(form, tokenizer, train, seed=seed + 10, steps=STEPS, rate=1e-3, start=warm)
                for train, _ in rows
            ]
            grams = [grams_of(model, each) for model, each in zip(branches, own_rows, strict=True)]
            if broken:
                grams = grams[::-1]
            layers = [linear_layers(model) for model in branches]
            merged, own, simple = merged_of(branches, grams, layers, 1.0)
            true = [grams_of(model, each) for model, each in zip(branches, own_rows, strict=True)]
            own, simple = objectives(true, layers, linear_layers(merged))
            off.append(own)
            off_mean.append(simple)
            back, _, _ = merged_of(branches[::-1], grams[::-1], layers[::-1], 1.0)
            turned.append(
                max(
                    float((one - other).abs().max())
                    for one, other in zip(
                        merged.state_dict().values(), back.state_dict().values(), strict=True
                    )
                )
            )
            if not broken:
                lines.append(_worth(seed, warm, branches, grams, layers, form, [held for _, held in rows]))
        yield Gate(
            name="its objective on students is at most the mean's, alpha = 1",
            figure=f"{said(off)}; of the mean {said(off_mean)}",
            threshold="at most, on each seed",
            passed=all(own <= simple for own, simple in zip(off, off_mean, strict=True)),
            seeds=seeds,
        )
        yield Gate(
            name="the order of the students",
            figure=f"weights at most {max(turned):.1e} apart",
            threshold="1e-6 in float32",
            passed=max(turned) <= 1e-6,
            seeds=seeds,
        )
        tokens, _ = tokenize(form, rows[0][0][:40], max_length=400)
        alone = grams_of(branches[0], [DECODER.collate([row], 0) for row in tokens])
        together = [DECODER.collate(tokens, 0)] if broken else batches(form, rows[0][0][:40])
        several = grams_of(branches[0], together)
        apart = max(float((several[name] - gram).norm() / gram.norm()) for name, gram in alone.items())
        yield Gate(
            name="rows in batches have the Gram matrices of rows alone",
            figure=f"{apart:.1e} apart",
            threshold="1e-5 in float32",
            passed=apart <= 1e-5,
            seeds=seeds[-1:],
        )
        for line in lines:
            yield Gate(name="loss by task (reported)", figure=line, threshold="none", passed=True)


def grams_of(model: Any, rows: Sequence[Any]) -> dict[str, Any]:
    """The Gram matrices of a student on batches."""
    from engine.students.activations import Grams, linear_layers, read, watched
    from engine.students.architecture import DECODER

    found = Grams()
    with watched(linear_layers(model), found.add):
        read(model, DECODER, rows, lambda: None)
    return found.means()


def mean_of(models: Sequence[Any]) -> Any:
    """The mean of weights."""
    from engine.students.regmean import fill

    merged = copy.deepcopy(models[0])
    states = [model.state_dict() for model in models]
    fill(merged, {name: sum(state[name].double() for state in states) / len(states) for name in states[0]})
    return merged


def merged_of(models: Sequence[Any], grams: Any, layers: Any, alpha: float) -> tuple[Any, float, float]:
    """RegMean's model, and its objective and that of the mean."""
    from engine.students.regmean import merged_layers, write

    merged = mean_of(models)
    found, off, off_mean = {}, 0.0, 0.0
    for name, weight, own, simple in merged_layers(grams, layers, alpha):
        found[name], off, off_mean = weight, off + own, off_mean + simple
    write(merged, found)
    return merged, off, off_mean


def objectives(grams: Any, layers: Any, merged: Any) -> tuple[float, float]:
    """How far merged layers are from the students' outputs on their own rows, and how far the mean is."""
    import torch

    from engine.students.activations import weight_of
    from engine.students.regmean import objective

    found = [0.0, 0.0]
    for name in grams[0]:
        own = [each[name] for each in grams]
        weights = [weight_of(each[name]) for each in layers]
        found[0] += objective(own, weights, weight_of(merged[name]))
        found[1] += objective(own, weights, torch.stack(weights).mean(0))
    return found[0], found[1]


def _worth(seed: int, warm: Any, branches: Any, grams: Any, layers: Any, form: Any, held: Any) -> str:
    """The losses of all that stands beside a merge, by task."""
    shown = {"ancestor": warm, "first": branches[0], "second": branches[1], "mean": mean_of(branches)}
    shown |= {f"alpha {alpha:g}": merged_of(branches, grams, layers, alpha)[0] for alpha in (1.0, 0.9, 0.1)}
    told = [
        f"{name} {' / '.join(f'{loss(model, form, rows):.3f}' for rows in held)}"
        for name, model in shown.items()
    ]
    return f"seed {seed}: {'; '.join(told)}"
