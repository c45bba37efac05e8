from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from engine.errors import JobFailed
from engine.students.batches import BatchPlan
from engine.students.room import Completion
from engine.students.token_rows import TokenRow
from tests.engine.students.runs import make_base
from tests.lazily import Lazy

architecture, exported = Lazy("engine.students.architecture"), Lazy("engine.students.exported_student")
evaluate, ensemble = Lazy("engine.students.evaluate"), Lazy("engine.students.logit_ensemble")

ROWS = [TokenRow(np.arange(10, 10 + length), prompt) for length, prompt in ((7, 3), (12, 4), (9, 8))]


def test_a_decoder_learns_every_completion_token_from_the_token_before_it() -> None:
    batch = architecture.DECODER.collate(ROWS, pad=0)
    ids = batch.inputs["input_ids"]
    assert ids.shape == (3, 11) and list(batch.inputs) == ["input_ids"]
    expected = [(row.ids[at - 1], row.ids[at]) for row in ROWS for at in range(row.prompt, len(row.ids))]
    assert list(zip(ids.reshape(-1)[batch.keep], batch.targets, strict=True)) == expected
    assert all(set(ids[line, len(row.ids) :]) <= {0} for line, row in enumerate(ROWS))
    assert [architecture.DECODER.lengths(row) for row in ROWS] == [(7,), (12,), (9,)]


def test_an_encoder_decoder_learns_every_completion_token_from_the_question_and_those_before() -> None:
    kind = architecture.EncoderDecoder(start=5)
    batch = kind.collate(ROWS, pad=0)
    read, mask = batch.inputs["input_ids"], batch.inputs["attention_mask"]
    assert read.shape == mask.shape == (3, 8)
    written = batch.inputs["decoder_input_ids"]
    assert written.shape == (3, 8)
    pairs = []
    for line, row in enumerate(ROWS):
        assert read[line][mask[line] == 1].tolist() == row.ids[: row.prompt].tolist()
        assert mask[line].tolist() == [1] * row.prompt + [0] * (8 - row.prompt)
        labels = row.ids[row.prompt :].tolist()
        pairs += zip([5, *labels[:-1]], labels, strict=True)
    assert list(zip(written.reshape(-1)[batch.keep], batch.targets, strict=True)) == pairs
    assert [kind.lengths(row) for row in ROWS] == [(3, 4), (4, 8), (8, 1)]


def test_batches_of_two_sides_keep_to_the_budget_with_the_padding_of_both() -> None:
    chance = np.random.default_rng(2)
    parts = [(int(a), int(b)) for a, b in chance.integers(3, 40, (80, 2))]
    plan = BatchPlan(parts, batch_tokens=200, seed=1)
    for epoch in range(2):
        groups = [plan.micro_batch(epoch * plan.micro_batches + n) for n in range(plan.micro_batches)]
        assert sorted(np.concatenate(groups).tolist()) == list(range(80))
        for group in groups:
            read, written = zip(*(parts[index] for index in group), strict=True)
            assert len(group) * (max(read) + max(written)) <= 200 or len(group) == 1
    assert max(len(group) for group in groups) > 4


def test_the_decoder_needs_a_place_to_begin() -> None:
    config = SimpleNamespace(is_encoder_decoder=True, decoder_start_token_id=3)
    model = SimpleNamespace(config=config, generation_config=SimpleNamespace(decoder_start_token_id=None))
    assert architecture.architecture_of(model) == architecture.EncoderDecoder(start=3)
    config.decoder_start_token_id = None
    with pytest.raises(JobFailed, match="has no decoder_start_token_id"):
        architecture.architecture_of(model)
    config.is_encoder_decoder = False
    assert architecture.architecture_of(model) is architecture.DECODER


def test_an_encoder_decoder_has_room_for_a_prompt_and_an_answer_of_full_length() -> None:
    kind = architecture.EncoderDecoder(start=0)
    assert [kind.room(prompt, 64) for prompt in (1, 64, 65)] == [63, 63, 0]
    assert [architecture.DECODER.room(prompt, 64) for prompt in (1, 64, 65)] == [63, 0, -1]


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_an_answer_costs_a_third_of_training_on_it_and_an_ensemble_as_much_as_its_members(
    kind, tmp_path
) -> None:
    model = exported.load_copy(make_base(tmp_path / kind, kind), "cpu")
    of = architecture.architecture_of(model)
    ids = np.arange(12)
    [trained] = of.flops(model, [TokenRow(ids, 7)])
    assert of.answer_flops(model.config, of.sides(model), 7, 5) == pytest.approx(trained / 3)
    together = evaluate.costs_of(ensemble.LogitEnsemble([model, model, model]), of)
    done = Completion("x", prompt_tokens=7, tokens=5)
    assert evaluate.with_flops(done, of, together).flops == pytest.approx(trained)
