"""Which plans a student reads, and how many samples its triggers count. The one rule for daemon, export and monitor.

- A student reads plans of its tasks, that its `plans` name, on the train split. `*` is every plan that neither asks a student nor scores another plan. Plans whose strategy shows the gold
  answer count only where its curation reads hinted rationales.
- Plans of one task with the same fingerprint share their samples, which count once.
- With `labels = "majority"` every stored sample counts, otherwise the correct ones.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from state.enums import RunState
from state.sqlite import Connection
from state.triggers._base import LastRun, Stock, Trigger

ENDED_STATES = frozenset({RunState.DONE, RunState.STOPPED, RunState.FAILED})


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanCounts:
    """The counters of an active plan."""

    id: int
    name: str
    task: str
    split: str
    hinted: bool
    """Whether its strategy shows the gold answer."""
    by_name: bool = False
    """Whether only those read it that name it, and not `*`: it asks a student, or scores another plan."""
    fingerprint: str
    wanted: int
    stored: int
    accepted: int
    failed: int
    skipped: int
    created_at: int = 0

    @property
    def ended(self) -> int:
        """Slots that will not change any more, out of `wanted`."""
        return min(self.wanted, self.stored + self.failed + self.skipped)


@dataclass(frozen=True, kw_only=True, slots=True)
class StudentRule:
    """What decides which samples a student's triggers count; made from its resolved configuration."""

    name: str
    tasks: tuple[str, ...] | None
    """None: all."""
    plans: tuple[str, ...] | None
    joint: bool
    hinted: bool
    majority: bool
    train_at: tuple[Trigger, ...] = ()

    def trains_on(self, task: str) -> bool:
        """Whether the task is one of its tasks."""
        return self.tasks is None or task in self.tasks

    def read(self, plans: Iterable[PlanCounts], tasks: Collection[str]) -> list[PlanCounts]:
        """Those of the plans whose samples it reads, in a scope of these tasks."""
        return [
            plan
            for plan in plans
            if plan.task in tasks
            and self.trains_on(plan.task)
            and (not plan.by_name if self.plans is None else plan.name in self.plans)
            and plan.split == "train"
            and (self.hinted or not plan.hinted)
        ]

    def stock(
        self,
        plans: Sequence[PlanCounts],
        *,
        since: int = 0,
        last: LastRun | None = None,
        complete: bool | None = None,
        fingerprint: str = "",
        runs: frozenset[str] = frozenset(),
    ) -> Stock:
        """What there is to train on, from the plans that it reads.

        Args:
            plans: as `read` gives them.
            since: when the first daemon started; taken where the student reads no plan.
            last: its newest run in this scope.
            complete: whether all plans are done, where the caller knows more than the counters say.
            fingerprint: of a run that would be made now.
            runs: trigger names of its runs with this fingerprint.
        """
        shared: dict[tuple[str, str], list[PlanCounts]] = {}
        for plan in plans:
            shared.setdefault((plan.task, plan.fingerprint), []).append(plan)
        groups = list(shared.values())
        widest = [max(group, key=lambda plan: plan.wanted) for group in groups]
        ended, wanted = sum(plan.ended for plan in widest), sum(plan.wanted for plan in widest)
        return Stock(
            plans=tuple(plan.id for plan in plans),
            samples=sum(
                max(plan.stored if self.majority else plan.accepted for plan in group) for group in groups
            ),
            ended=ended,
            wanted=wanted,
            complete=all(plan.ended >= plan.wanted for plan in plans) if complete is None else complete,
            since=min((plan.created_at for plan in plans), default=since),
            fingerprint=fingerprint,
            runs=runs,
            last=last,
        )


def student_rule(student: Mapping[str, Any], triggers: Iterable[Trigger] = ()) -> StudentRule:
    """The rule of a student's resolved configuration; what an older or newer version wrote otherwise is passed over."""
    curation = student.get("curation")
    curation = curation if isinstance(curation, Mapping) else {}
    return StudentRule(
        name=str(student.get("name", "")),
        tasks=_names(student.get("tasks")),
        plans=_names(student.get("plans")),
        joint=student.get("scope") == "joint",
        hinted=bool(curation.get("hinted")),
        majority=curation.get("labels") == "majority",
        train_at=tuple(triggers),
    )


def plan_counts(connection: Connection, ids: Collection[int] | None = None) -> list[PlanCounts]:
    """The counters of plans, in the order of their rows: of all active ones, or of those with these ids."""
    columns = (
        "id",
        "name",
        "task",
        "split",
        "hinted",
        "by_name",
        "fingerprint",
        "wanted",
        "stored",
        "accepted",
    )
    names = (*columns, "failed", "skipped", "created_at")
    rows = connection.execute(
        "SELECT p.id, p.name, t.name, p.split, iif(json_valid(p.settings), coalesce(p.settings ->> '$.facts.hinted', 0), 0),"
        " iif(json_valid(p.settings), coalesce(p.settings ->> '$.facts.by_name', 0), 0), p.recipe, p.wanted, p.stored, p.accepted, p.failed,"
        " p.skipped, p.created_at FROM plan p JOIN task t ON t.id = p.task_id"
        " WHERE CASE WHEN ?1 IS NULL THEN p.active = 1 ELSE p.id IN (SELECT value FROM json_each(?1)) END"
        " ORDER BY p.id",
        (None if ids is None else json.dumps(list(ids)),),
    ).fetchall()
    return [PlanCounts(**dict(zip(names, row, strict=True))) for row in rows]


def last_runs(connection: Connection) -> dict[tuple[str, str], LastRun]:
    """The newest run of each (student, scope)."""
    rows = connection.execute(
        "SELECT student, scope, created_at, state, recipe, digest, spec ->> '$.counted', id FROM run"
        " WHERE id IN (SELECT max(id) FROM run GROUP BY student, scope)"
    ).fetchall()
    return {
        (student, scope): LastRun(
            created_at=created_at,
            ended=state in ENDED_STATES,
            fingerprint=fingerprint,
            digest=digest,
            counted=counted,
            id=key,
        )
        for student, scope, created_at, state, fingerprint, digest, counted, key in rows
    }


def first_start(connection: Connection) -> int:
    """When the first daemon on this database started, UTC milliseconds; 0 before that."""
    return int(connection.execute("SELECT coalesce(min(started_at), 0) FROM boot").fetchone()[0])


def _names(given: Any) -> tuple[str, ...] | None:
    """A list of names; None where it means all: `*`, and no list."""
    return None if not isinstance(given, list) or "*" in given else tuple(str(name) for name in given)
