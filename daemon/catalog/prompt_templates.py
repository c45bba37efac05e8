"""The wording of each plan on each task: the templates of its `[prompts.NAME]`, and its worked examples."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from engine.config import Config, PlanConfig, StudentConfig
from engine.config.named import expand
from engine.config.prompts import templates_of
from engine.config.wordings import FEWEST
from engine.errors import ConfigError, TaskDataError
from engine.methods import METHODS
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
        ConfigError: a strategy that needs examples has none, or a task has too few dev questions to compare wordings.
        TaskDataError: a file of examples that cannot be read.
    """
    found: dict[tuple[str, str], Wording] = {}
    for plan in config.plans:
        given = templates_of(config.prompts, plan.prompts, plan.strategy)
        for task in expand(plan.tasks, list(config.tasks)):
            if plan.candidate and tasks[task].sizes["dev"] < FEWEST:
                raise ConfigError(
                    f"plans.{plan.candidate.of}.wordings: the task {task} has {tasks[task].sizes['dev']} dev questions, and wordings are"
                    f" compared on {FEWEST} or more: give it more (`dev`), or leave it out of the plan's `tasks`"
                )
            shows = STRATEGIES[plan.strategy].needs_exemplars
            shots = _shown(config, plan, task, tasks[task]) if shows else ()
            wording = Wording(**given, exemplars=shots)
            if wording != PLAIN:
                found[plan.name, task] = wording
    return found


def check_students(config: Config, tasks: Mapping[str, TaskSummary]) -> None:
    """Checks that the data have what students need: worked examples to show, rationales to train on.

    Raises:
        ConfigError: a task has none.
        TaskDataError: a file of examples cannot be read.
    """
    for student in config.students:
        if METHODS[student.method].reads_rationales:
            for task in expand(student.tasks, list(config.tasks)):
                _check_rationales(student, task, tasks[task])
        if student.strategy is None or not STRATEGIES[student.strategy].needs_exemplars:
            continue
        for task in expand(student.tasks, list(config.tasks)):
            examples_for(
                config,
                task,
                student.exemplars,
                asked=_texts(tasks[task], "dev", "test"),
                about=f"students.{student.name}",
                strategy=student.strategy,
            )


def _check_rationales(student: StudentConfig, task: str, loaded: TaskSummary) -> None:
    train = [each for each in loaded.questions or () if each.split == "train"]
    if train and not any(each.rationale for each in train):
        raise ConfigError(
            f"students.{student.name}.method: {student.method} trains on the rationales in the data, and no training question of"
            f" {task} has one: name their column in [tasks.{task}.fields] (rationale), or leave {task} out of its `tasks`"
        )


def _shown(config: Config, plan: PlanConfig, task: str, loaded: TaskSummary) -> tuple[Exemplar, ...]:
    return examples_for(
        config,
        task,
        plan.exemplars,
        asked=_texts(loaded, plan.split),
        about=f"plans.{plan.name}",
        strategy=plan.strategy,
    )


def _texts(loaded: TaskSummary, *splits: str) -> set[str]:
    assert loaded.questions is not None, "tasks with examples are read whole"
    return {question.text_hash for question in loaded.questions if question.split in splits}


def examples_for(
    config: Config, task: str, given: str | None, *, asked: Collection[str], about: str, strategy: str
) -> tuple[Exemplar, ...]:
    """The worked examples of a task, except those that are asked themselves.

    Args:
        config: the configuration.
        task: the task.
        given: a file of examples; None: those that are shipped with the task.
        asked: the `text_hash` of the questions that are asked.
        about: the section of the configuration that asks, for messages.
        strategy: the strategy that shows them, for messages.

    Raises:
        ConfigError: there is none.
        TaskDataError: the file cannot be read.
    """
    if given is not None:
        all_of_them = _read(config.folder / given.replace("{task}", task))
    else:
        all_of_them = shipped_exemplars(config.tasks[task])
    kept = tuple(each for each in all_of_them if text_hash(each.question) not in asked)
    if not kept:
        why = (
            "every example is a question that is asked"
            if all_of_them
            else "no examples are shipped with this task"
        )
        raise ConfigError(
            f"{about}.exemplars: {strategy} on the task {task} has no worked example ({why}): give"
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
