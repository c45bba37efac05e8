"""The builtin tasks, by name."""

from __future__ import annotations

from engine.tasks.builtin.arithmetic import ArithmeticTask
from engine.tasks.builtin.coin_flip import CoinFlipTask
from engine.tasks.builtin.dates import DatesTask
from engine.tasks.builtin.interface import BuiltinTask, Found, Problem, Step, Walk, walk
from engine.tasks.builtin.last_letters import LastLettersTask
from engine.tasks.builtin.shuffled_objects import ShuffledObjectsTask

BUILTIN_TASKS: dict[str, BuiltinTask] = {
    task.name: task
    for task in (CoinFlipTask(), LastLettersTask(), ShuffledObjectsTask(), DatesTask(), ArithmeticTask())
}
"""What `source = "builtin:NAME"` can name."""

__all__ = ["BUILTIN_TASKS", "BuiltinTask", "Found", "Problem", "Step", "Walk", "walk"]
