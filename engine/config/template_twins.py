"""The experiment's axis `split_by`: a task that is also split by template gets a twin, `NAME.template`.

A twin is a task like any other, with its own questions and samples: a training question of one may be a test question of the
other. Plans and students of the file with `tasks = ["*"]` get the tasks of the file, not the twins.
"""

from __future__ import annotations

import re

from engine.config.base import NAME_PATTERN
from engine.config.experiment import ExperimentConfig
from engine.config.named import expand
from engine.config.root import Config

TWIN = ".template"


def with_twins(
    config: Config, experiment: ExperimentConfig
) -> tuple[Config, ExperimentConfig, list[tuple[tuple[int | str, ...], str]]]:
    """Both with the tasks that the axis adds, and the errors as (path, message)."""
    if "template" not in experiment.split_by:
        return config, experiment, []
    names = list(config.tasks)
    own = expand(list(experiment.tasks), names)
    wrong = [text for name in own if (text := _wrong(config, name))]
    if wrong:
        return config, experiment, [(("experiment", "split_by"), text) for text in wrong]
    tasks = {}
    for name, task in config.tasks.items():
        tasks[name] = task
        if name in own:
            tasks[name + TWIN] = task.model_copy(update={"split_by": "template", "paper_task": None})
    suffixes = ["" if way == "question" else TWIN for way in dict.fromkeys(experiment.split_by)]
    everything = {"tasks": names}
    twinned = config.model_copy(
        update={
            "tasks": tasks,
            "plans": [
                plan.model_copy(update=everything) if "*" in plan.tasks else plan for plan in config.plans
            ],
            "students": [
                student.model_copy(update=everything) if "*" in student.tasks else student
                for student in config.students
            ],
        }
    )
    asked = [name + suffix for name in own for suffix in suffixes]
    return twinned, experiment.model_copy(update={"tasks": asked}), []


def _wrong(config: Config, name: str) -> str | None:
    task, twin = config.tasks[name], name + TWIN
    if task.source.startswith("builtin:"):
        return f"{name} is a builtin task, which has no data to split by template; leave it out of `tasks`"
    if task.split_by == "template":
        return f"{name} is already split by template; remove `split_by` from the task"
    if twin in config.tasks:
        return f"{name} needs the name {twin}, which another task has"
    return None if re.match(NAME_PATTERN, twin) else f"the name {twin} must not exceed 64 characters"
