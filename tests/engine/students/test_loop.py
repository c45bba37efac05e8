from __future__ import annotations

import pytest

from engine.config.students import TrainingConfig
from tests.lazily import Lazy

loop = Lazy("engine.students.loop")


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
