from __future__ import annotations

from pathlib import Path

import pytest

from daemon.cli.check_bases import check_distributions
from tests.daemon.parts import config_of

DISTRIBUTION = {"objective": "distribution"}


def said(
    folder: Path,
    model: str,
    base: str,
    *,
    training: dict | None = None,
    logprobs: int = 5,
    builtin: bool = False,
) -> list[str]:
    real = {"base_url": "http://127.0.0.1:9/v1", "api_key_env": "KEY"}
    found = config_of(
        folder,
        teachers={"a": {"model": model, **({"builtin": True} if builtin else real)}},
        tasks={"t": {"source": "builtin:coin_flip", "answer": "yes_no"}},
        plans=[{"name": "p", "teachers": ["a"], "logprobs": logprobs}],
        students=[{"name": "s", "base": base, "training": training or {}}],
    )
    told: list[str] = []
    check_distributions(found.students[0], base, found, told.append)
    return told


def tokenizers(folder: Path, *texts: str) -> list[str]:
    paths = [folder / str(number) for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.mkdir()
        (path / "tokenizer.json").write_text(text)
    return [str(path) for path in paths]


def test_distributions_are_proposed_where_the_tokenizer_is_the_same(tmp_path: Path) -> None:
    one, same, other = tokenizers(tmp_path, '{"a": 1}', '{"a": 1, "padding": 2}', '{"b": 1}')
    (line,) = said(tmp_path, one, same)
    assert "plan p asks a for log-probabilities" in line and 'training.objective = "distribution"' in line
    assert said(tmp_path, "org/model", "org/model")
    assert not said(tmp_path, one, other) and not said(tmp_path, one, same, logprobs=0)
    assert not said(tmp_path, "builtin:nano", "builtin:nano"), "each student has its own"


@pytest.mark.parametrize(
    ("builtin", "wanted"),
    [(True, "are made up: it would learn noise"), (False, "may have another tokenizer")],
)
def test_what_stands_against_learned_distributions_is_said(
    tmp_path: Path, builtin: bool, wanted: str
) -> None:
    (line,) = said(tmp_path, "m", "builtin:nano", training=DISTRIBUTION, builtin=builtin)
    assert wanted in line


def test_nothing_stands_against_those_of_one_tokenizer(tmp_path: Path) -> None:
    assert said(tmp_path, "org/model", "org/model", training=DISTRIBUTION) == []
