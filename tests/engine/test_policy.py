from __future__ import annotations

import json

import numpy as np
import pytest

from engine.policy import Policy


def played(policy: Policy, rounds: int, seed: int, sign: float = 1.0) -> Policy:
    """Two arms and two kinds of questions: an arm is worth keeping on one kind each. All rewards of a round share a shift."""
    draw = np.random.default_rng(seed)
    for _ in range(rounds):
        arms, kinds = draw.integers(0, 2, 16), draw.integers(0, 2, 16)
        features = np.column_stack([np.ones(16), np.where(kinds, 0.5, -0.5), draw.normal(size=(16, 6)) / 3])
        kept = (draw.random(16) < policy.keep(arms, features)).astype(float)
        good = np.where(arms == kinds, 1.0, -1.0)
        rewards = sign * (0.01 * kept * good + 0.02 * draw.normal(size=16)) + draw.normal()
        policy.learn(arms, features, kept, rewards)
    return policy


def keeps(policy: Policy) -> list[float]:
    """For arm 0 on its kind, on the other one, then the same of arm 1."""
    features = np.zeros((4, 8))
    features[:, 0], features[:, 1] = 1.0, (-0.5, 0.5, 0.5, -0.5)
    return policy.keep(np.array([0, 0, 1, 1]), features).tolist()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_learns_which_arm_is_worth_keeping_where_and_the_reverse_of_a_flipped_reward(seed: int) -> None:
    own, other, second, second_other = keeps(played(Policy.new(2, 8, 0.1), 400, seed))
    assert min(own, second) > 0.7 and max(other, second_other) < 0.3
    own, other, second, second_other = keeps(played(Policy.new(2, 8, 0.1), 400, seed, -1.0))
    assert max(own, second) < 0.3 and min(other, second_other) > 0.7


def test_no_arm_is_given_up_and_equal_rewards_teach_nothing() -> None:
    policy = Policy.new(2, 1, 0.1)
    assert policy.keep(np.array([0, 1]), np.ones((2, 1))).tolist() == [0.5, 0.5]
    policy.learn(np.array([0, 1]), np.ones((2, 1)), np.array([1.0, 0.0]), np.array([3.0, 3.0]))
    assert not policy.weights.any()
    policy.weights[:] = [[1e6], [-1e6]]
    assert policy.keep(np.array([0, 1]), np.ones((2, 1))).tolist() == pytest.approx([0.9, 0.1])


def test_its_state_comes_back_to_the_bit_and_that_of_other_arms_is_refused() -> None:
    policy = played(Policy.new(2, 8, 0.1), 7, 0)
    again = Policy.new(2, 8, 0.1)
    again.read(json.loads(json.dumps(policy.to_json())))
    assert (
        again.weights.tobytes() == policy.weights.tobytes()
        and again.scale.tobytes() == policy.scale.tobytes()
    )
    assert played(again, 5, 1).weights.tobytes() == played(policy, 5, 1).weights.tobytes()
    with pytest.raises(ValueError, match="weights has the shape"):
        Policy.new(3, 8, 0.1).read(json.loads(json.dumps(policy.to_json())))
