"""A question and its gold answer: the builtin tasks with their solvers, and tasks from files."""

from engine.tasks.builtin import BUILTIN_TASKS
from engine.tasks.question import Question
from engine.tasks.source import LoadedTask, load_task

__all__ = ["BUILTIN_TASKS", "LoadedTask", "Question", "load_task"]
