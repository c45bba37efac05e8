from __future__ import annotations

import hashlib
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from engine.errors import JobFailed
from engine.methods import TrainRow
from engine.students.targets import FILE, Targets, digest_of_targets, read_targets, targets_bytes
from state.logprobs import Logprobs, pack
from tests.lazily import Lazy

torch = Lazy("torch")

TEXTS = ["<end>", " up", " down", " -->", " yes", " same", " same"]


def answer(*tokens: str, other: str = " down") -> bytes:
    half, fifth = math.log(0.5), math.log(0.25)
    return pack(
        Logprobs(tokens, (half,) * len(tokens), tuple(((token, half), (other, fifth)) for token in tokens))
    )


def row(sample: int | None = 7, rationale: str | None = "up down") -> TrainRow:
    return TrainRow(sample_id=sample, question_id=1, question="?", rationale=rationale, answer="yes")


def targets(stored, *, tail: bool = True) -> Targets:
    return Targets(stored, 2, TEXTS, lambda each: f" {each.rationale} --> {each.answer}", tail)


def test_the_mean_log_probability_of_a_row_is_that_of_its_first_answer() -> None:
    found = targets({7: [answer(" up", " down"), answer(" no")]})
    assert found.mean_logprob(row()) == pytest.approx(math.log(0.5), abs=1e-3)
    assert found.mean_logprob(row(8)) == found.mean_logprob(row(None)) == 0.0


def test_a_policy_sees_length_and_log_probability_beside_the_question() -> None:
    from engine.students.selection import question_features

    weight = torch.nn.Parameter(torch.randn(10, 4, generator=torch.Generator().manual_seed(0)))
    model = SimpleNamespace(get_input_embeddings=lambda: SimpleNamespace(weight=weight))
    form = SimpleNamespace(prompt_ids=lambda asked: [[len(each), 2] for each in asked])
    lengths, logprobs = np.array([5.0, 7.0, 9.0]), np.array([-1.0, -3.0, -2.0])
    found = question_features(model, form, ["a", "bb", "a"], [lengths, logprobs])
    assert found.shape == (3, 1 + 4 + 2)
    np.testing.assert_array_equal(found[:, 0], 1)
    np.testing.assert_allclose(found[0, 1:5], found[2, 1:5])
    for column, values in ((5, lengths), (6, logprobs)):
        np.testing.assert_allclose(found[:, column] * values.std() * 6**0.5, values - values.mean())


def test_the_file_is_the_same_bytes_and_reads_back(tmp_path: Path) -> None:
    stored = {9: [answer(" up"), answer(" down")], 7: [answer(" up", " down")]}
    data = targets_bytes(stored)
    assert data == targets_bytes(dict(sorted(stored.items())))
    assert hashlib.sha256(data).hexdigest() == digest_of_targets(stored)
    (tmp_path / FILE).write_bytes(data)
    found, width = read_targets(tmp_path / FILE, digest_of_targets(stored))
    assert (found, width) == (dict(sorted(stored.items())), 2)


def test_a_file_that_is_damaged_or_missing_is_refused(tmp_path: Path) -> None:
    path, digest = tmp_path / FILE, digest_of_targets({7: [answer(" up")]})
    with pytest.raises(JobFailed, match="is missing"):
        read_targets(path, digest)
    path.write_bytes(targets_bytes({7: [answer(" down")]}))
    with pytest.raises(JobFailed, match="is damaged"):
        read_targets(path, digest)


def test_a_row_has_the_distribution_of_its_rationale_and_single_tokens_elsewhere() -> None:
    # The first answer has other words: that of another turn.
    made = targets({7: [answer(" no", " text"), answer("up", " down", " -->", " no")]})
    ids, shares = made.columns(row(), [1, 2, 3, 4, 0], np.arange(5))
    assert ids.tolist() == [[1, 1, 1], [2, 2, 2], [3, 2, 3], [4, 4, 4], [0, 0, 0]]
    np.testing.assert_allclose(
        shares, [[1, 0, 0], [0.5, 0, 0], [0.5, 0.25, 0], [1, 0, 0], [1, 0, 0]], atol=1e-3
    )
    assert made.said().startswith("2 of 5 tokens")


def test_without_a_tail_the_known_tokens_get_its_share() -> None:
    made = targets({7: [answer(" up", " down", other=" yes")]}, tail=False)
    ids, shares = made.columns(row(), [1, 2], np.arange(2))
    assert ids.tolist() == [[1, 4, 1], [2, 4, 2]]
    np.testing.assert_allclose(shares, [[2 / 3, 1 / 3, 0]] * 2, atol=1e-3)


def test_two_tokens_with_one_text_are_candidates_of_none() -> None:
    made = targets({7: [answer(" up", " down", other=" same")]})
    ids, _ = made.columns(row(), [1, 2], np.arange(2))
    assert ids.tolist() == [[1, 1, 1], [2, 2, 2]]


def test_rows_without_any_are_refused_together() -> None:
    made = targets({7: [answer(" something", " else")]})
    for each in (row(), row(8), row(None, None)):
        made.columns(each, [1, 2], np.arange(2))
    with pytest.raises(JobFailed, match="no token of the rationales has a distribution"):
        made.said()
