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
