"""The wording of each plan on each task: the templates of its `[prompts.NAME]`, and its worked examples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engine.config import Config, PlanConfig
from engine.config.root import expand
from engine.errors import ConfigError, TaskDataError
from engine.question import text_hash
from engine.strategies import PLAIN, STRATEGIES, Exemplar, Wording
from engine.tasks import TaskSummary, shipped_exemplars
from engine.tasks.drafts import make_drafts
from engine.tasks.row_files import fail, read_rows

Wordings = Mapping[tuple[str, str], Wording]
"""By plan and task; missing pairs have the default wording."""

MOST_EXEMPLARS = 64


def read_wordings(config: Config, tasks: Mapping[str, TaskSummary]) -> dict[tuple[str, str], Wording]:
    """The wordings that differ from the default.

    Raises:
        ConfigError: a strategy that needs examples has none.
        TaskDataError: a file of examples that cannot be read.
    """
    found: dict[tuple[str, str], Wording] = {}
    for plan in config.plans:
        given = config.prompts[plan.prompts].given() if plan.prompts else {}
        for task in expand(plan.tasks, list(config.tasks)):
            shows = STRATEGIES[plan.strategy].needs_exemplars
            shots = _exemplars(config, plan, task, tasks[task]) if shows else ()
            wording = Wording(**given, exemplars=shots)
            if wording != PLAIN:
                found[plan.name, task] = wording
    return found


def _exemplars(config: Config, plan: PlanConfig, task: str, loaded: TaskSummary) -> tuple[Exemplar, ...]:
    """The examples, except those that are questions of the plan's split themselves."""
    if plan.exemplars is not None:
        all_of_them = _read(config.folder / plan.exemplars.replace("{task}", task))
    else:
        all_of_them = shipped_exemplars(config.tasks[task])
    assert loaded.questions is not None, "tasks of plans with examples are read whole"
    asked = {question.text_hash for question in loaded.questions if question.split == plan.split}
    kept = tuple(each for each in all_of_them if text_hash(each.question) not in asked)
    if not kept:
        why = (
            f"every example is a question of its {plan.split} split"
            if all_of_them
            else "no examples are shipped with this task"
        )
        raise ConfigError(
            f"plans.{plan.name}.exemplars: {plan.strategy} on the task {task} has no worked example ({why}): give"
            ' `exemplars = "FILE.jsonl"`, rows with question, rationale and answer'
        )
    return kept


def _read(path: Path) -> tuple[Exemplar, ...]:
    drafts = make_drafts(path, read_rows(path))
    for draft in drafts:
        if draft.rationale is None:
            fail(draft.place, "", "rationale: required in an example")
    if len(drafts) > MOST_EXEMPLARS:
        raise TaskDataError(f"{path}: {len(drafts)} examples; at most {MOST_EXEMPLARS} go into a prompt")
    return tuple(
        Exemplar(question=each.text, rationale=each.rationale or "", answer=each.answer) for each in drafts
    )
