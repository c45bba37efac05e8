"""Given-up samples: how many there are and why, and asking them again.

A given-up sample counts only while its plan still asks for it: not if its question has enough correct rationales by
now, if the plan has reached its target, or if the question is gone. So what is counted here is what is asked again.

Invariants: what is asked again changes in one transaction with the counters; of a plan with `want` or `target` never
more is open than the plan could have claimed (`state/slots.py`). A member of a panel is asked again only once no other
member is open: what an open one has heard does not change. A sample that is asked again starts anew: its earlier
attempts stay, with their costs, and answered turns are not paid for twice.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from state.commands import Retry
from state.kept_samples import adopt
from state.resampling import PENDING, refresh_needs
from state.slots import read
from state.sqlite import Connection

_LAST = "; the last: "
MOST = 50_000
"""Samples that one command asks again: each is in the daemon's memory until it ends."""


def tried(how: str, said: str) -> str:
    """Why a sample is given up that was asked more than once: `how`, and what was said the last time."""
    return f"{how}{_LAST}{said}"


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenUp:
    """Given-up samples of a plan on one task, by reason."""

    plan: str
    task: str
    wanted: int
    samples: str
    """Equal for plans that share their samples."""
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """How many there are."""
        return self.reasons.total()

    def kinds(self) -> list[tuple[str, int]]:
        """One reason of each kind with the number of samples, most first; reasons of a kind differ in numbers and ids."""
        groups: dict[str, list[str]] = defaultdict(list)
        for reason in self.reasons:
            groups[_kind(reason)].append(reason)
        found = [
            (
                min(group, key=lambda each: (-self.reasons[each], each)),
                sum(self.reasons[each] for each in group),
            )
            for group in groups.values()
        ]
        return sorted(found, key=lambda each: (-each[1], each[0]))


@dataclass(frozen=True, kw_only=True, slots=True)
class Retried:
    """What is asked again: the open samples of each plan, and how many more were given up that are not."""

    samples: dict[int, list[int]]
    left: int

    @property
    def count(self) -> int:
        """How many samples are asked again."""
        return sum(map(len, self.samples.values()))


_CORRECT_OR_PENDING = (
    "(SELECT count(*) FROM sample o WHERE o.question_id = s.question_id AND o.recipe = p.recipe"
    f" AND o.replicate < p.rationales AND (o.verdict = 1 OR {PENDING.replace('s.', 'o.')}))"
)
_GIVEN_UP = (
    "SELECT p.id AS plan, s.id AS sample, s.plan_id AS owner, coalesce(s.reason, '') AS reason,"
    "  p.want = 0 OR row_number() OVER (PARTITION BY p.id, s.question_id ORDER BY s.replicate)"
    "   <= CASE WHEN s.replicate < p.base THEN max(p.base, p.want) ELSE p.want END"
    f"    - {_CORRECT_OR_PENDING} AS needed"
    " FROM plan p CROSS JOIN sample s ON s.task_id = p.task_id AND s.split = p.split AND s.verdict IS NULL"
    "  AND s.recipe = p.recipe AND s.replicate < p.rationales AND s.state = 'failed'"
    " JOIN question q ON q.id = s.question_id AND q.active = 1 JOIN task t ON t.id = p.task_id"
    " WHERE p.active = 1 AND p.failed > 0 AND (p.target = 0 OR p.accepted < p.target)"
    "  AND (?1 IS NULL OR p.name = ?1) AND (?2 IS NULL OR t.name = ?2)"
    "  AND (p.unless = '' OR NOT EXISTS (SELECT 1 FROM sample u WHERE u.question_id = q.id AND u.recipe = p.unless"
    "   AND u.verdict = 1))"
    "  AND (p.panel = '' OR NOT EXISTS (SELECT 1 FROM plan o JOIN sample m ON m.question_id = s.question_id"
    "   AND m.recipe = o.recipe AND m.replicate = s.replicate WHERE o.panel = p.panel AND m.state = 'open'))"
)
"""Candidates of the plans at work. With `want`, a question needs as many as the rule of `state/slots.py` leaves room
for: up to `base` rationales open or correct while the first `base` are asked again, and up to `want` for the others."""


def given_up(connection: Connection, request: Retry | None = None) -> list[GivenUp]:
    """The given-up samples of each plan at work that still asks for them, with their reasons."""
    request = request or Retry()
    found = {
        key: GivenUp(plan=plan, task=task, wanted=wanted, samples=samples)
        for key, plan, task, wanted, samples in connection.execute(
            "SELECT p.id, p.name, t.name, p.wanted, p.task_id || ' ' || p.split || ' ' || p.recipe"
            " FROM plan p JOIN task t ON t.id = p.task_id WHERE p.active = 1 ORDER BY p.id"
        )
    }
    rows = connection.execute(
        f"SELECT plan, reason, count(*) FROM ({_GIVEN_UP}) WHERE needed GROUP BY plan, reason",
        (request.plan, request.task),
    )
    for plan, reason, count in rows:
        if _matches(reason, request.reason):
            found[plan].reasons[reason] += count
    return [each for each in found.values() if each.count]


def count_given_up(connection: Connection) -> dict[int, int]:
    """How many given-up samples each plan at work still asks for, by its id; cheap where verdicts decide nothing."""
    rows = connection.execute(
        "SELECT id, failed, want = 0 AND unless = '' FROM plan WHERE active = 1 AND failed > 0"
        " AND (target = 0 OR accepted < target)"
    ).fetchall()
    found = {plan: failed for plan, failed, plain in rows if plain}
    if len(found) < len(rows):
        found |= dict(
            connection.execute(
                f"SELECT plan, count(*) FROM ({_GIVEN_UP}) WHERE needed GROUP BY plan", (None, None)
            ).fetchall()
        )
    return found


def in_all(plans: Iterable[GivenUp]) -> tuple[int, int]:
    """How many samples were given up, of how many wanted; plans that share samples count once."""
    return count_once((each.samples, each.count, each.wanted) for each in plans)


def count_once(plans: Iterable[tuple[str, int, int]]) -> tuple[int, int]:
    """The same of (samples, given up, wanted); `samples` is equal for plans that share theirs."""
    counts: dict[str, tuple[int, int]] = {}
    for samples, count, wanted in plans:
        most, widest = counts.get(samples, (0, 0))
        counts[samples] = max(most, count), max(widest, wanted)
    return sum(count for count, _ in counts.values()), sum(wanted for _, wanted in counts.values())


def retry(connection: Connection, requests: Sequence[Retry]) -> list[Retried]:
    """Opens given-up samples again, in the caller's transaction."""
    return [_retry(connection, request) for request in requests]


def _retry(connection: Connection, request: Retry) -> Retried:
    rows = connection.execute(
        f"SELECT plan, sample, owner, reason FROM ({_GIVEN_UP}) WHERE needed ORDER BY plan, sample",
        (request.plan, request.task),
    ).fetchall()
    rows = [row[:3] for row in rows if _matches(row[3], request.reason)]
    room = {plan: _room(connection, plan) for plan in {row[0] for row in rows}}
    active = {row[0] for row in connection.execute("SELECT id FROM plan WHERE active = 1")}
    chosen: dict[int, int] = {}
    seen: set[int] = set()
    for plan, sample, owner in rows:
        seen.add(sample)
        if sample not in chosen and room[plan] > 0 and len(chosen) < MOST:
            chosen[sample] = owner if owner in active else plan
            room[plan] -= 1
    samples: dict[int, list[int]] = defaultdict(list)
    for sample, plan in chosen.items():
        samples[plan].append(sample)
    _open(connection, list(chosen))
    for plan, ids in samples.items():
        adopt(connection, plan, "sample.id IN (SELECT value FROM json_each(?2))", json.dumps(ids))
    return Retried(samples=dict(samples), left=len(seen) - len(chosen))


def _room(connection: Connection, plan: int) -> int:
    room = read(connection, plan).room
    return MOST if room is None else room


def _open(connection: Connection, samples: list[int]) -> None:
    rows = connection.execute(
        "UPDATE sample SET state = 'open', attempts = 0, unknowns = 0, reason = NULL, finish_reason = NULL,"
        " flags = '[]', stored_at = NULL WHERE id IN (SELECT value FROM json_each(?))"
        " RETURNING task_id, split, recipe, replicate, question_id",
        (json.dumps(samples),),
    ).fetchall()
    for key, count in Counter(row[:4] for row in rows).items():
        connection.execute(
            "UPDATE plan SET failed = failed - ? WHERE task_id = ? AND split = ? AND recipe = ? AND rationales > ?",
            (count, *key),
        )
    questions: dict[tuple[int, str, str], list[int]] = defaultdict(list)
    for *key, _, question in rows:
        questions[key[0], key[1], key[2]].append(question)
    for (task, split, recipe), asked in questions.items():
        refresh_needs(connection, task, split, recipe, asked)


def _matches(reason: str, part: str | None) -> bool:
    return part is None or part.casefold() in reason.casefold()


_ID = re.compile(r"\b(?=\w*\d)[\w-]{8,}")
_NUMBER = re.compile(r"(?<!HTTP )\b\d[\d.,:]*")


def _kind(reason: str) -> str:
    """What was said: how often it was asked, and beside what others, is the luck of one sample."""
    said = reason.partition(_LAST)[2] or reason
    return _NUMBER.sub("N", _ID.sub("…", said))[:120]
