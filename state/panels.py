"""Panels: what the members of a panel have said about a question, as their samples and attempts tell it.

The plans of a panel's members share `plan.panel`, and their samples of one question are those of the same replicate.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from state.enums import SampleState
from state.sqlite import Connection

Slot = tuple[int, int]
"""A question's id, and a replicate."""


@dataclass(frozen=True, slots=True)
class StoredReply:
    """An answered turn of a member's sample."""

    attempt_id: int
    dialect: str
    choice: int
    raw: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class PanelSample:
    """A member's sample of a question."""

    sample_id: int
    question_id: int
    replicate: int
    member: int
    open: bool
    teacher: str
    asked: dict[int, int] = field(default_factory=dict)
    """By turn, the id of its first attempt."""
    replies: dict[int, StoredReply] = field(default_factory=dict)
    """By turn, what was answered."""


def panel_samples(connection: Connection, plan_id: int, slots: Collection[Slot]) -> list[PanelSample]:
    """The samples of all members of a plan's panel, of some questions; those of the plan itself too."""
    rows = connection.execute(
        "SELECT s.id, s.question_id, s.replicate, m.member, s.state, t.name FROM json_each(?2) j"
        " CROSS JOIN (SELECT DISTINCT o.recipe, o.member FROM plan p JOIN plan o ON o.panel = p.panel"
        "  WHERE p.id = ?1 AND p.panel <> '') m"
        " JOIN sample s ON s.question_id = j.value ->> 0 AND s.recipe = m.recipe AND s.replicate = j.value ->> 1"
        " JOIN teacher t ON t.id = s.teacher_id ORDER BY s.id",
        (plan_id, json.dumps(sorted(slots))),
    ).fetchall()
    found = {
        row[0]: PanelSample(
            sample_id=row[0],
            question_id=row[1],
            replicate=row[2],
            member=row[3],
            open=row[4] == SampleState.OPEN.value,
            teacher=row[5],
        )
        for row in rows
    }
    attempts = connection.execute(
        "SELECT a.sample_id, a.id, a.turn, a.choice, t.dialect, c.raw FROM json_each(?) j"
        " CROSS JOIN attempt a ON a.sample_id = j.value JOIN teacher t ON t.id = a.teacher_id"
        " LEFT JOIN completion c ON c.attempt_id = coalesce(a.leader_id, a.id) AND a.outcome = 'ok' ORDER BY a.id",
        (json.dumps(list(found)),),
    )
    for sample, attempt, turn, choice, dialect, raw in attempts:
        found[sample].asked.setdefault(turn, attempt)
        if raw is not None:
            found[sample].replies.setdefault(turn, StoredReply(attempt, dialect, choice, raw))
    return list(found.values())


def panels_of(
    connection: Connection, requests: Sequence[tuple[int, Collection[Slot]]]
) -> list[list[PanelSample]]:
    """The same for several plans, each with its questions."""
    return [panel_samples(connection, plan_id, slots) for plan_id, slots in requests]


def by_slot(samples: Sequence[PanelSample]) -> dict[Slot, list[PanelSample]]:
    """Samples by question and replicate."""
    found: dict[Slot, list[PanelSample]] = defaultdict(list)
    for sample in samples:
        found[sample.question_id, sample.replicate].append(sample)
    return found


def heard_by(own: PanelSample, samples: Sequence[PanelSample], turn: int) -> list[tuple[int, StoredReply]]:
    """What a member heard of a turn before it went on: (member, reply), by member.

    A member goes on when all others have answered or will not. So what was answered later, by a sample that was given
    up and asked again, has a higher id than the member's next attempt, and was not heard.
    """
    went_on = own.asked.get(turn + 1)
    return sorted(
        (each.member, reply)
        for each in samples
        if (reply := each.replies.get(turn)) is not None
        and (each is own or went_on is None or reply.attempt_id < went_on)
    )


def heard_turns(connection: Connection, sample_id: int) -> list[list[tuple[int, StoredReply]]]:
    """What a panel's member heard after each of its answered turns, (member, reply) by member; empty for other samples."""
    found = connection.execute(
        "SELECT s.plan_id, s.question_id, s.replicate FROM sample s JOIN plan p ON p.id = s.plan_id"
        " WHERE s.id = ? AND p.panel <> ''",
        (sample_id,),
    ).fetchone()
    if found is None:
        return []
    plan, *slot = found
    samples = panel_samples(connection, plan, {(slot[0], slot[1])})
    own = next(each for each in samples if each.sample_id == sample_id)
    return [heard_by(own, samples, turn) for turn in sorted(own.replies)]


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundAnswer:
    """What a member of a panel answered in a round."""

    panel: str
    """The name of its plan, without the teacher."""
    task: str
    split: str
    question_id: int
    replicate: int
    member: int
    turn: int
    teacher: str
    answer: str | None
    micros: int
    """What all attempts of this turn cost."""
    flags: tuple[str, ...]
    """Of the member's sample."""


_ROUNDS = (
    "SELECT p.name, p.teachers, t.name, s.split, s.question_id, s.replicate, p.member, a.turn, a.answer, s.flags,"
    " (SELECT sum(o.cost_micros) FROM attempt o WHERE o.sample_id = s.id AND o.turn = a.turn)"
    " FROM plan p JOIN task t ON t.id = p.task_id"
    " JOIN sample s ON s.task_id = p.task_id AND s.split = p.split AND s.recipe = p.recipe AND s.replicate < p.rationales"
    " JOIN attempt a ON a.sample_id = s.id AND a.outcome = 'ok' WHERE p.panel <> '' AND "
)
_ENDED = (
    "p.active = 1 AND NOT EXISTS (SELECT 1 FROM plan o JOIN sample m ON m.recipe = o.recipe"
    " AND m.question_id = s.question_id AND m.replicate = s.replicate WHERE o.panel = p.panel AND m.state = 'open')"
)
_OF_SAMPLE = "p.panel = ? AND s.question_id = ? AND s.replicate = ?"


def round_answers(connection: Connection, *, sample_id: int | None = None) -> list[RoundAnswer]:
    """The answers of panels whose members have all ended, by task, panel, question, replicate and round.

    With `sample_id`, those of that sample's panel, ended or not; none for other samples.
    """
    which, values = _ENDED, ()
    if sample_id is not None:
        which = _OF_SAMPLE
        values = connection.execute(
            "SELECT p.panel, s.question_id, s.replicate FROM sample s JOIN plan p ON p.id = s.plan_id"
            " WHERE s.id = ? AND p.panel <> ''",
            (sample_id,),
        ).fetchone()
        if values is None:
            return []
    rows = connection.execute(
        f"{_ROUNDS}{which} ORDER BY t.id, p.panel, s.question_id, s.replicate, a.turn, p.member", values
    ).fetchall()
    found: dict[tuple[int, int, int, int], RoundAnswer] = {}
    for name, teachers, task, split, question, replicate, member, turn, answer, flags, micros in rows:
        teacher = json.loads(teachers)[0]
        found.setdefault(
            (question, replicate, member, turn),
            RoundAnswer(
                panel=name.removesuffix(f".{teacher}"),
                task=task,
                split=split,
                question_id=question,
                replicate=replicate,
                member=member,
                turn=turn,
                teacher=teacher,
                answer=answer,
                micros=micros,
                flags=tuple(json.loads(flags)),
            ),
        )
    return list(found.values())
