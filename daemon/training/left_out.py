"""Training questions that a student does not read: dev or test has them too, or you flagged them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from engine.config.students import CurationConfig
from engine.curation import ALIKE, FLAGGED, HELD_OUT, alike, same_questions
from state.notes import flagged_questions
from state.runs import TaskInfo
from state.sqlite import Connection
from state.training_samples import stored_questions


def left_out(
    connection: Connection,
    tasks: Sequence[TaskInfo],
    curation: CurationConfig,
    flagged: Collection[int] = (),
) -> dict[int, str]:
    """Why a training question of the tasks is not read, by its id: all dev and test questions of all tasks count.

    Args:
        connection: an open reading connection.
        tasks: of the student.
        curation: its settings.
        flagged: the questions that are left out because you flagged them (`flagged`).
    """
    found = dict.fromkeys(flagged, FLAGGED)
    if not (curation.drop_test_overlap or curation.drop_test_alike):
        return found
    train = _texts(connection, tasks, "train")
    held_out = _texts(connection, tasks, "dev", "test")
    if curation.drop_test_alike:
        found |= dict.fromkeys(alike(train, held_out), ALIKE)
    if curation.drop_test_overlap:
        found |= dict.fromkeys(same_questions(train, held_out.values()), HELD_OUT)
    return found


def flagged(connection: Connection, tasks: Sequence[TaskInfo], curation: CurationConfig) -> tuple[int, ...]:
    """The questions of the tasks that are left out because you flagged them, by id."""
    if not curation.leave_out_flagged:
        return ()
    return tuple(sorted(flagged_questions(connection, [task.id for task in tasks])))


def left_out_in_0_1(
    connection: Connection,
    tasks: Sequence[TaskInfo],
    curation: CurationConfig,
    flagged: Collection[int] = (),
) -> dict[int, str]:
    """The same by the rule of runs that were queued before there was another one, and before there were flags."""
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
