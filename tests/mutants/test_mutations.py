"""The list of mutations fits the code: each can be made, and the tests it names are there. `make mutants` runs them."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.mutants.__main__ import ROOT, mutated
from tests.mutants.mutations import MUTATIONS


def test_every_mutation_can_be_made_and_is_valid_python() -> None:
    assert len(MUTATIONS) >= 60 and len(set(MUTATIONS)) == len(MUTATIONS)
    for mutation in MUTATIONS:
        text = (ROOT / mutation.file).read_text(encoding="utf-8")
        ast.parse(mutated(text, mutation))
        assert all(Path(ROOT, each).exists() for each in mutation.tests.split()), mutation
