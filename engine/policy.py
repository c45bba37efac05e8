"""A policy that learns which of several arms to take: linear in what is known, trained by REINFORCE (Williams 1992).

Yuan et al. (2020) let such a policy choose the teachers of each training example. Here an arm is a teacher; the policy decides for each
training row whether it counts (`engine.students.selection`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

RATE = 3.0
"""Of learning."""
MEMORY = 0.95
"""Of the running scale of rewards."""
LIMIT = 3.0
"""Of a reward, in scales."""

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(slots=True)
class Policy:
    """The probability of keeping is `floor + (1 - 2 floor) * sigmoid(w_arm . features)`: never below the floor, so each arm is tried again.

    A reward counts against the mean of those that come with it, which share what a step does to all of them, and in their running scale: late in
    a training, when all rewards are small, differences teach as much as at its beginning.
    """

    weights: Array
    """[arms, features]."""
    scale: Array
    """[1]: the running mean distance of rewards from their mean."""
    seen: Array
    """[1]: how often it learned."""
    floor: float

    @classmethod
    def new(cls, arms: int, features: int, floor: float) -> Policy:
        """One that keeps with one half."""
        return cls(np.zeros((arms, features)), np.zeros(1), np.zeros(1), floor)

    def keep(self, arms: np.ndarray, features: Array) -> Array:
        """[n]: the probability of keeping, for arms [n] and features [n, features]."""
        return self.floor + (1 - 2 * self.floor) * _sigmoid(self._scores(arms, features))

    def learn(self, arms: np.ndarray, features: Array, kept: np.ndarray, rewards: Array) -> None:
        """Makes what was rewarded more likely.

        Args:
            arms: [n].
            features: [n, features].
            kept: [n], 1 where the arm was taken, 0 where not.
            rewards: [n], the larger the better.
        """
        inner = _sigmoid(self._scores(arms, features))
        keep = self.floor + (1 - 2 * self.floor) * inner
        slope = (kept - keep) / (keep * (1 - keep)) * (1 - 2 * self.floor) * inner * (1 - inner)
        better = rewards - rewards.mean()
        self.seen += 1
        self.scale += max(1 - MEMORY, 1 / self.seen[0]) * (np.abs(better).mean() - self.scale)
        if not self.scale[0]:
            return
        better = np.clip(better / self.scale, -LIMIT, LIMIT)
        for arm in np.unique(arms):
            own = arms == arm
            self.weights[arm] += RATE * (better[own] * slope[own]) @ features[own] / len(arms)

    def _scores(self, arms: np.ndarray, features: Array) -> Array:
        found: Array = (self.weights[arms] * features).sum(axis=1)
        return found

    def to_json(self) -> dict[str, Any]:
        """Its state; reading it again gives the same numbers to the bit."""
        return {name: getattr(self, name).tolist() for name in STATE}

    def read(self, state: dict[str, Any]) -> None:
        """Takes on a state.

        Raises:
            ValueError: it has another shape.
        """
        for name in STATE:
            found = np.array(state[name], dtype=np.float64)
            if found.shape != getattr(self, name).shape:
                raise ValueError(f"{name} has the shape {found.shape}, not {getattr(self, name).shape}")
            setattr(self, name, found)


STATE = ("weights", "scale", "seen")


def _sigmoid(values: Array) -> Array:
    found: Array = 1 / (1 + np.exp(-np.clip(values, -500, 500)))
    return found
