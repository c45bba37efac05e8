"""What procedural tasks share. A procedural task writes its own questions; `engine/tasks/builtin` has one module for each."""

from __future__ import annotations

from engine.tasks.procedural.options import TaskOptions
from engine.tasks.procedural.problem import FoundQuestion, Problem, Step, Trace, last_match, trace
from engine.tasks.procedural.renderer import Renderer
from engine.tasks.procedural.task import ProceduralTask

__all__ = [
    "FoundQuestion",
    "Problem",
    "ProceduralTask",
    "Renderer",
    "Step",
    "TaskOptions",
    "Trace",
    "last_match",
    "trace",
]
