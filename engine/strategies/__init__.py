"""The strategies that ask a teacher for a rationale, one module each. A new file here is a new strategy."""

from __future__ import annotations

from engine.errors import ConfigError
from engine.question import Exemplar
from engine.strategies.base import Conversation, Finished, Panel, PeerReplies, Settings, Strategy
from engine.strategies.wording import PLAIN, Wording
from engine.variants import discover

STRATEGIES: dict[str, Strategy] = discover(
    __name__,
    Strategy,
    helpers=("base", "first_formats", "replay", "templates", "wording"),
)
"""Every strategy by name."""

BASELINES = tuple(
    each.name
    for each in sorted(STRATEGIES.values(), key=lambda each: each.baseline_rank or 0)
    if each.baseline_rank is not None
)
"""Strategies that measure a model on test questions, simplest first."""

__all__ = [
    "BASELINES",
    "PLAIN",
    "STRATEGIES",
    "Conversation",
    "Exemplar",
    "Finished",
    "Panel",
    "PeerReplies",
    "Settings",
    "Strategy",
    "Wording",
    "strategy",
]


def strategy(name: str) -> Strategy:
    """The strategy called `name`.

    Raises:
        ConfigError: there is none of that name.
    """
    try:
        return STRATEGIES[name]
    except KeyError:
        raise ConfigError(f"unknown strategy {name!r}; use one of: {', '.join(STRATEGIES)}") from None
