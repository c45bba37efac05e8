"""What accuracy costs: every finished student on test with what it took to make and takes to answer, beside the teachers.

Readers show it as the ledger, and as the frontier: the students that no cheaper one comes near.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from state.confidence_interval import wilson
from state.lineage import made_of
from state.sqlite import Connection
from state.views.rows import loaded

ASKED = 1_000
"""Questions that the dollars are for, beside what a student cost to make."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CostPoint:
    """A student's run, or a teacher's plan, on the test questions of a task. None: not known.

    FLOPs and tokens are those of one question. Dollars are those that were paid to teachers; device time has a price only where
    `daemon.usd_per_device_hour` says so.
    """

    name: str
    task: str
    run_id: int | None
    """None: a teacher."""
    method: str
    accuracy: float
    low: float
    high: float
    n: int
    parameters: int | None = None
    bytes: int | None = None
    prompt_tokens: float | None = None
    completion_tokens: float | None = None
    flops: float | None = None
    train_flops: float | None = None
    """Of its training and that of all its ancestors."""
    data_usd: float | None = None
    """Paid for the samples that it and its ancestors could read, wrong ones too, each once."""
    device_hours: float | None = None
    """Of its run and those of its ancestors."""
    make_usd: float | None = None
    answer_usd: float | None = None
    sources: tuple[int, ...] = ()
    """The runs that it was made from."""
    superseded: bool = False


def read_frontier(
    connection: Connection,
    usd_per_device_hour: float | None = None,
    billions: Mapping[str, float] | None = None,
) -> tuple[CostPoint, ...]:
    """The newest run of each student and task, by run, then the teachers' plans on test. Reads the samples once.

    Args:
        connection: an open reading connection.
        usd_per_device_hour: the price of device time; None: it has none.
        billions: the parameters of teachers, in billions, by name.
    """
    found = connection.execute(
        "SELECT r.id, r.student, t.name, r.method, e.accuracy, e.low, e.high, e.n, r.parameters, r.bytes, e.prompt_tokens,"
        " e.completion_tokens, e.flops, e.seconds, EXISTS (SELECT 1 FROM run n WHERE n.student = r.student"
        " AND n.scope = r.scope AND n.id > r.id AND n.recipe <> r.recipe)"
        " FROM run r JOIN evaluation e ON e.run_id = r.id AND e.split = 'test' JOIN task t ON t.id = e.task_id"
        " WHERE r.state = 'done' AND t.active = 1 ORDER BY r.id, t.id"
    ).fetchall()
    points: dict[tuple[str, str], CostPoint] = {}
    families: dict[int, _Family] = {}
    for (
        key,
        student,
        task,
        method,
        accuracy,
        low,
        high,
        n,
        size,
        held,
        read,
        wrote,
        flops,
        seconds,
        old,
    ) in found:
        family = families.setdefault(key, _family(connection, key))
        rate = usd_per_device_hour
        points[student, task] = CostPoint(
            name=student,
            task=task,
            run_id=key,
            method=method,
            accuracy=accuracy,
            low=low,
            high=high,
            n=n,
            parameters=size,
            bytes=held,
            prompt_tokens=None if read is None else read / n,
            completion_tokens=None if wrote is None else wrote / n,
            flops=flops,
            train_flops=family.train_flops,
            data_usd=family.data_usd,
            device_hours=family.device_hours,
            make_usd=family.data_usd + (rate or 0.0) * family.device_hours,
            answer_usd=None if rate is None or seconds is None else rate * seconds / 3600 / n,
            sources=family.sources,
            superseded=bool(old),
        )
    return (
        *sorted(points.values(), key=lambda point: (point.run_id or 0, point.task)),
        *_teachers(connection, billions or {}),
    )


def frontier_now(connection: Connection) -> tuple[CostPoint, ...]:
    """The same with the price of the newest daemon session's configuration."""
    (config,) = connection.execute("SELECT config FROM boot ORDER BY id DESC LIMIT 1").fetchone() or ("{}",)
    known = loaded(config, dict)
    rate = known.get("daemon", {}).get("usd_per_device_hour")
    sizes = {name: each.get("parameters_billion") for name, each in known.get("teachers", {}).items()}
    return read_frontier(connection, rate, {name: size for name, size in sizes.items() if size})


def dollars(point: CostPoint) -> float | None:
    """What making it and asking it `ASKED` questions costs."""
    if point.make_usd is None:
        return None
    return point.make_usd + ASKED * (point.answer_usd or 0.0)


def front(points: Sequence[CostPoint], cost: Callable[[CostPoint], float | None]) -> list[CostPoint]:
    """The points that are worth their cost, cheapest first: each one's interval is above the estimate of the one before.

    Args:
        points: of one task.
        cost: of a point; one without is left out.
    """
    known = [(price, point) for point in points if (price := cost(point)) is not None]
    kept: list[CostPoint] = []
    for _, point in sorted(known, key=lambda each: (each[0], -each[1].accuracy, each[1].name)):
        if not kept or point.low > kept[-1].accuracy:
            kept.append(point)
    return kept


@dataclass(frozen=True, kw_only=True, slots=True)
class _Family:
    """What a run and all its ancestors took."""

    sources: tuple[int, ...]
    train_flops: float | None
    data_usd: float
    device_hours: float


def _family(connection: Connection, run_id: int) -> _Family:
    line = made_of(connection, run_id)
    marks = ",".join("?" * len(line))
    runs = connection.execute(
        f"SELECT train_flops, coalesce(ended_at - started_at, 0), spec, created_at,"
        f" EXISTS (SELECT 1 FROM run_sample s WHERE s.run_id = run.id) FROM run WHERE id IN ({marks})",
        line,
    ).fetchall()
    flops = [each for each, *_ in runs if each is not None]
    sources = connection.execute(
        "SELECT DISTINCT source_id FROM run_source WHERE run_id = ? ORDER BY place", (run_id,)
    )
    return _Family(
        sources=tuple(key for (key,) in sources),
        train_flops=sum(flops) if len(flops) == len(runs) else None,
        data_usd=_paid(connection, [(spec, created) for _, _, spec, created, reads in runs if reads]),
        device_hours=sum(took for _, took, *_ in runs) / 3_600_000,
    )


def _paid(connection: Connection, runs: Sequence[tuple[str, int]]) -> float:
    """The cost of the samples of the runs' plans that were there when the run was made; of a sample once."""
    until: dict[int, int] = {}
    for spec, created in runs:
        for plan in json.loads(spec).get("plans", ()):
            until[plan] = max(created, until.get(plan, 0))
    by_group: dict[tuple[int, str, str], int] = {}
    for plan, created in until.items():
        row = connection.execute("SELECT task_id, split, recipe FROM plan WHERE id = ?", (plan,)).fetchone()
        if row is not None:
            by_group[tuple(row)] = max(created, by_group.get(tuple(row), 0))
    micros = 0
    for (task, split, recipe), created in by_group.items():
        micros += connection.execute(
            "SELECT coalesce(sum(cost_micros), 0) FROM sample WHERE task_id = ? AND split = ? AND recipe = ?"
            " AND created_at <= ?",
            (task, split, recipe, created),
        ).fetchone()[0]
    return micros / 1e6


def _teachers(connection: Connection, billions: Mapping[str, float]) -> list[CostPoint]:
    """The plans on test: a sample that failed counts as wrong. FLOPs are two for each weight and token, without attention."""
    rows = connection.execute(
        "SELECT p.name, t.name, p.strategy, coalesce(sum(s.verdict = 1), 0), count(*),"
        " sum(s.cost_micros), sum(s.prompt_tokens), sum(s.completion_tokens),"
        " json_group_array(json_array(te.name, s.prompt_tokens + s.completion_tokens)),"
        " (SELECT r.parameters FROM run r WHERE r.id = CAST(p.settings ->> '$.served' AS INTEGER))"
        " FROM plan p JOIN task t ON t.id = p.task_id JOIN sample s ON s.task_id = p.task_id AND s.split = p.split"
        " AND s.recipe = p.recipe AND s.replicate < p.rationales AND s.state <> 'open'"
        " JOIN teacher te ON te.id = s.teacher_id JOIN question q ON q.id = s.question_id AND q.active = 1"
        " WHERE p.active = 1 AND p.split = 'test' AND t.active = 1 GROUP BY p.id ORDER BY p.id"
    ).fetchall()
    found = []
    for name, task, strategy, correct, n, micros, read, wrote, each, served in rows:
        low, high = wilson(correct, n)
        tokens: Counter[str] = Counter()
        for teacher, count in json.loads(each):
            tokens[teacher] += count
        sizes = {teacher: served or billions.get(teacher, 0.0) * 1e9 for teacher in tokens}
        flops = (
            sum(2 * sizes[teacher] * count for teacher, count in tokens.items())
            if all(sizes.values())
            else None
        )
        found.append(
            CostPoint(
                name=name,
                task=task,
                run_id=None,
                method=strategy or "",
                accuracy=correct / n,
                low=low,
                high=high,
                n=n,
                parameters=round(max(sizes.values())) or None,
                flops=None if flops is None else flops / n,
                prompt_tokens=read / n,
                completion_tokens=wrote / n,
                make_usd=0.0,
                answer_usd=micros / 1e6 / n,
            )
        )
    return found


def by_task(points: Sequence[CostPoint]) -> Mapping[str, list[CostPoint]]:
    """The points of each task, in order of appearance; students that a newer run replaced are left out."""
    found: dict[str, list[CostPoint]] = {}
    for point in points:
        if not point.superseded:
            found.setdefault(point.task, []).append(point)
    return found
