from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

import pytest

from bench import arms
from bench.arms import Arm, arms_of, table, with_seeds
from engine.config import load_config

DOCS = Path(__file__).resolve().parents[2] / "docs"
ARMS = {
    "adapters": ["full", "distribution", "lora", "prefix"],
    "selection": ["uniform", "reinforce", "all-rows", "large-alone", "small-alone"],
}


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_is_copied_for_each_seed_and_nothing_else(tmp_path: Path, name: str) -> None:
    text = (DOCS / f"{name}.toml").read_text(encoding="utf-8")
    names = arms_of(tomllib.loads(text))
    assert names == ARMS[name]
    file = tmp_path / "config.toml"
    file.write_text(with_seeds(text, names, 3), encoding="utf-8")
    students = load_config(file).students
    seeds = Counter(each.training.seed for each in students if each.name.partition(".")[0] in names)
    assert seeds == {seed: len(names) for seed in range(3)}
    once = [each.name for each in load_config(DOCS / f"{name}.toml").students]
    assert sorted({each.name.partition(".")[0] for each in students}) == sorted(once)
    for each in students:
        first = next(other for other in students if other.name == each.name.partition(".")[0])
        settings = {"training": first.training, "name": first.name}
        assert each.model_copy(update=settings) == first
        assert each.training.model_copy(update={"seed": 0}) == first.training


def test_the_table_has_differences_and_the_answers_that_were_not_seen(monkeypatch) -> None:
    monkeypatch.setattr(
        arms, "paces", lambda _ways: ({"full": 2.0, "prefix": 1.0}, {"full": 5000, "prefix": 250})
    )
    config = {"students": [{"name": "full"}, {"name": "prefix", "training": {"adapter": "prefix"}}]}
    runs = {
        "full": [dict.fromkeys(range(10), True)] * 2,
        "prefix": [{place: place < 6 for place in range(10)}] * 2,
    }
    found = table(
        [
            Arm(
                name=name,
                runs=each,
                seen=frozenset(range(8)),
                rows=20,
                parameters=4000,
                flops=1e9,
                weights={},
            )
            for name, each in runs.items()
        ],
        config,
    )
    full, prefix = ([cell.strip() for cell in line.strip("|").split("|")] for line in found.splitlines()[2:])
    assert full[2] == "–" and prefix[2].startswith("−40.0 (") and prefix[1].startswith("60.0 (")
    assert prefix[4].startswith("75.0 (") and prefix[4].endswith("n 8")
    assert prefix[5].startswith("0.0 (") and prefix[5].endswith("n 2")
    assert full[6:8] == ["4,000", "16"]
    assert prefix[6:10] == ["250", "1", "1.00e+09", "0.50 ×"]
