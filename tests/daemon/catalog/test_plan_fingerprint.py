"""What makes a plan itself: recipes stay what they were, and change with what a teacher would see."""

from __future__ import annotations

from typing import Any

from daemon.sampling.plans import plan_fingerprint
from engine.config import PlanConfig
from tests.daemon.parts import teacher_config


def recipe(**settings: Any) -> str:
    return plan_fingerprint(PlanConfig.model_validate({"name": "p", **settings}), [teacher_config()])


def test_recipes_of_earlier_versions_hold() -> None:
    assert recipe() == "0dd0ef19901a56f35e1dbe00"
    assert recipe(seed=3, rationales=8) == "0f81bc185daabef5ef11dba4"
    assert recipe(stop=[], logprobs=0, per_request=1) == recipe()


def test_what_a_teacher_would_see_changes_them() -> None:
    found = [recipe(), recipe(stop=["END"]), recipe(stop=["\n"]), recipe(logprobs=1), recipe(logprobs=5)]
    assert len(set(found)) == 5


def test_how_many_are_asked_for_at_once_matters_only_with_a_seed() -> None:
    assert recipe(per_request=4) == recipe()
    assert recipe(per_request=4, seed=3) != recipe(seed=3) == recipe(per_request=1, seed=3)
