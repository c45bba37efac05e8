from __future__ import annotations

import re

import pytest

from engine.errors import JobFailed
from engine.students import sizes
from engine.students.builtin import make
from engine.students.sizes import SIZES, size_of
from tests.lazily import Lazy

torch = Lazy("torch")
architecture = Lazy("engine.students.architecture")


def test_each_name_is_a_size_and_the_docstring_tells_it() -> None:
    told = re.findall(r"builtin:(\S+) +([\d.]+) ([kM]) +(\d+) +(\d)(?: \+ \d)? +([\d,]+)", sizes.__doc__)
    assert [name for name, *_ in told] == list(SIZES)
    for name, number, unit, width, layers, vocabulary in told:
        size = size_of(f"builtin:{name}")
        assert (size.width, size.layers, f"{size.vocabulary:,}") == (int(width), int(layers), vocabulary)
        model = make(size, size.vocabulary, end=1, pad=0, positions=64, seed=0)
        weights = sum(parameter.numel() for parameter in model.parameters())
        assert weights == pytest.approx(float(number) * {"k": 1e3, "M": 1e6}[unit], rel=0.1)
        assert architecture.is_encoder_decoder(model.config) == name.endswith("-t5")


def test_the_seed_decides_the_weights() -> None:
    one, again, other = (
        make(SIZES["nano-t5"], 50, end=1, pad=0, positions=64, seed=seed).shared.weight for seed in (1, 1, 2)
    )
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_other_bases_are_loaded_and_unknown_ones_refused() -> None:
    assert size_of("google/flan-t5-small") is None
    with pytest.raises(
        JobFailed, match="unknown built-in model 'builtin:huge'; known: builtin:nano, builtin:micro"
    ):
        size_of("builtin:huge")
