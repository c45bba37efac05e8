"""Training questions that a student does not read, because dev or test has them too."""

from __future__ import annotations

from collections.abc import Sequence

from engine.config.students import CurationConfig
from engine.curation import ALIKE, HELD_OUT, alike, same_questions
from state.runs import TaskInfo
from state.sqlite import Connection
from state.training_samples import stored_questions


def left_out(connection: Connection, tasks: Sequence[TaskInfo], curation: CurationConfig) -> dict[int, str]:
    """Why a training question of the tasks is not read, by its id: all dev and test questions of all tasks count."""
    if not (curation.drop_test_overlap or curation.drop_test_alike):
        return {}
    train = _texts(connection, tasks, "train")
    held_out = _texts(connection, tasks, "dev", "test")
    found = dict.fromkeys(alike(train, held_out), ALIKE) if curation.drop_test_alike else {}
    if curation.drop_test_overlap:
        found |= dict.fromkeys(same_questions(train, held_out.values()), HELD_OUT)
    return found


def left_out_in_0_1(
    connection: Connection, tasks: Sequence[TaskInfo], curation: CurationConfig
) -> dict[int, str]:
    """The same by the rule of runs that were queued before there was another one."""
    if not curation.drop_test_overlap:
        return {}
    found = alike(_texts(connection, tasks, "train"), _texts(connection, tasks, "test"))
    return dict.fromkeys(found, ALIKE)


def _texts(connection: Connection, tasks: Sequence[TaskInfo], *splits: str) -> dict[int, str]:
    return {
        question.question_id: question.text
        for task in tasks
        for split in splits
        for question in stored_questions(connection, task.id, split)
    }
