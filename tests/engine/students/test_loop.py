from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from engine.config.students import TrainingConfig
from engine.errors import JobFailed
from engine.students.token_rows import TokenRow
from tests.lazily import Lazy

loop, zero, torch = Lazy("engine.students.loop"), Lazy("engine.students.zero"), Lazy("torch")


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_the_rate_rises_to_its_peak_and_falls_to_its_end(schedule) -> None:
    training = TrainingConfig(learning_rate=2.0, warmup=0.1, schedule=schedule, final_learning_rate=0.1)
    rates = [loop.learning_rate(training, step, 100) for step in range(1, 101)]
    assert rates[:10] == pytest.approx([0.2 * step for step in range(1, 11)])
    assert max(rates) == rates[9] == 2.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(2.0 if schedule == "constant" else 0.2)


def test_half_way_is_half_way() -> None:
    for schedule in ("cosine", "linear"):
        training = TrainingConfig(learning_rate=1.0, warmup=0.0, schedule=schedule, final_learning_rate=0.0)
        assert loop.learning_rate(training, 50, 100) == pytest.approx(0.5)


def test_a_single_step_has_a_rate() -> None:
    assert loop.learning_rate(TrainingConfig(learning_rate=1.0, warmup=0.0), 1, 1) > 0
    assert loop.learning_rate(TrainingConfig(learning_rate=1.0, warmup=1.0), 1, 1) == 1.0


def test_a_step_is_the_weighted_mean_of_its_rows_on_all_ranks() -> None:
    """Two ranks and two micro-batches: the factor of each loss is over the weighted tokens of them all, and rows keep their weights."""
    rows = [TokenRow(np.arange(3 + number), 1) for number in range(8)]
    own = loop.Loop.__new__(loop.Loop)
    own.rows = rows
    own.selection = SimpleNamespace(weigh=lambda step, taken: np.where(taken % 2, 0.25, 1.0) * step)
    taken = [0, 3, 5, 6]
    weights = own._weights(2, taken)
    assert weights == {0: 2.0, 3: 0.5, 5: 0.5, 6: 2.0}
    assert own._counted(taken, weights) == 2 * 2 + 0.5 * 5 + 0.5 * 7 + 2 * 8
    own.selection = None
    assert own._weights(2, taken) is None and own._counted(taken, None) == 2 + 5 + 7 + 8


@pytest.mark.parametrize(("clip", "left"), [(1.0, 1.0), (0.0, 5.0), (9.0, 5.0)])
def test_gradients_are_clipped_to_the_norm_or_not_at_all(clip, left) -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor([3.0, 4.0])
    own = loop.Loop.__new__(loop.Loop)
    own.training, own._clipped = TrainingConfig(clip=clip), [weight]
    assert float(own._clip()) == pytest.approx(5.0)
    assert float(weight.grad.norm()) == pytest.approx(left, rel=1e-4)


def test_a_training_that_changes_nothing_fails_at_its_first_step() -> None:
    """A prefix that the model does not see leaves a loss without a gradient; one of zero is no better."""
    own = loop.Loop.__new__(loop.Loop)
    own.training = TrainingConfig(adapter="prefix")
    own.accumulation = own.splits = own.steps = 1
    own.ranks = SimpleNamespace(world=1, rank=0)
    own.rows, own.chunk, own.selection, own._begun = [TokenRow(np.arange(4), 2)], None, None, 0
    own.plan = SimpleNamespace(step=lambda *_args, **_named: [[np.array([0])]], begin=0, micro_batches=1)
    own.optimizer, own.device = SimpleNamespace(param_groups=[]), torch.device("cpu")
    own._forward = lambda *_args: torch.tensor(1.0)
    said = r'the adapter changes nothing: no gradient reaches what is trained \(training.adapter = "prefix"\)'
    with pytest.raises(JobFailed, match=said):
        own.run_step(1, sync=True)
    own._window = [(1, torch.tensor(1.0), torch.tensor(0.0), 4, 1.0, {})]
    with pytest.raises(JobFailed, match=said):
        own._report([1.0], 1.0)
    own._begun, own.progress = 1, None
    own._report([1.0], 1.0)  # later, a step may find nothing left to learn


def test_a_student_without_anything_to_train_is_an_error_before_the_first_step() -> None:
    """As a prefix is that was put in like LoRA: the model that is called has frozen weights alone."""
    frozen = torch.nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(JobFailed, match="the adapter changes nothing"):
        zero.make_engine(
            frozen,
            TrainingConfig(adapter="prefix"),
            device=torch.device("cpu"),
            bf16=False,
            accumulation_steps=1,
        )
