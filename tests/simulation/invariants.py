"""What must hold: at every commit, after every death, and at the end."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.catalog.plan_fingerprint import model_of
from daemon.pipeline import Pipeline
from daemon.sampling.budget import PARTS, Budget, micros
from engine.config import Config
from state import sqlite
from state.database import open_reader
from state.sqlite import Connection
from tests.simulation.fault_server import AMBIGUOUS, BURNS, PERMANENT, WINDOW_S, FaultServer
from tests.simulation.panels import PanelWatch, check_panels
from tests.simulation.rules import Rules, check_rules, samples_by_question
from tests.simulation.scenario import Scenario
from tests.state.world import World, check_counts

FAIR = 2.0
"""Two plans at work may differ by this many claims of the largest size, weighed."""
OVER_KNOWN = 3
OVER_UNKNOWN = 100
"""In any minute a life asks at most this many times more than the true limit, refusals counted: where the
configuration has it, and where it has none or a wrong one, and it is found out by being refused. Then those
that are under way when the first refusal comes are refused too, however many they are."""


CAPS = "spent, reserved and unknown are within every cap"
GROWS = "spent never falls"
LEDGER = "what is booked for answers is what they cost"
BILLS = "what the teachers billed is within the budget"
FAIRNESS = "no plan at work is far ahead of its weight"
COUNTERS = "counters equal a recount"
ENDS = "all work ends"
ONCE = "no turn is asked for again once its answer is stored"
GRADED = "a stored answer has a verdict"
FIRST = "a request is written down before it leaves"
BODIES = "a stored body is byte for byte what was sent"
PROMISE = "a payment is stored, or unknown for a known cause"
SURPLUS = "billed less stored is at most unknown"
TRIES = "attempts are used up by faults of the teacher alone"
GIVEN_UP = "no sample is given up for nothing"
RECIPE = "a sample was asked as its plan says"
PACE = "no minute holds more requests than the teacher takes"


Tally = Counter[str]
"""How often each invariant was looked at."""


@dataclass
class History:
    """What the invariants have to know of all lives so far."""

    cut: set[int] = field(default_factory=set)
    """Sessions that did not wait for all their answers."""
    edited: bool = False
    limits: dict[tuple[int, str], set[tuple[int, int, int]]] = field(default_factory=dict)
    """By task and recipe, the rules that plans had: base, most, want."""
    kept: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    """By recipe and question, the samples that an edit left to a recipe: those that are open or correct, and all of them.

    They may have been bought under the rules of another recipe.
    """
    total_cap: int | None = 0
    """The highest budget that was ever in force; None without one."""
    max_attempts: int = 100
    forgotten: set[str] = field(default_factory=set)
    """Requests that left after a copy of the database was made, and before it was put back."""
    forgotten_parts: int = 0
    """What they billed."""
    excused: set[str] = field(default_factory=set)
    """Requests that were open when the copy was made: their answers went with what was written after it."""

    def in_force(self, config: Config, connection: Connection) -> None:
        """Notes what a start or a reload put in force."""
        cap = micros(config.daemon.budget_usd)
        self.total_cap = None if cap is None or self.total_cap is None else max(cap, self.total_cap)
        self.max_attempts = min(
            [self.max_attempts, *(each.max_attempts for each in config.teachers.values())]
        )
        known = set(self.limits)
        for task, recipe, *rule in connection.execute(
            "SELECT task_id, recipe, base, rationales, want FROM plan WHERE active = 1"
        ):
            self.limits.setdefault((task, recipe), set()).add((rule[0], rule[1], rule[2]))
        for task, recipe, question, open_or_correct, samples in samples_by_question(connection):
            if (task, recipe) not in known:  # an edit gave them to this recipe
                self.kept[recipe, question] = open_or_correct, samples

    def restored(self, copy: Path, servers: Mapping[str, FaultServer]) -> None:
        """Notes what a copy of the database that is put back does not know."""
        with closing(sqlite.dbapi.connect(str(copy))) as connection:
            known: dict[str, str | None] = dict(
                connection.execute("SELECT request_id, outcome FROM attempt WHERE choice = 0").fetchall()
            )
            (newest,) = connection.execute("SELECT coalesce(max(id), 0) FROM boot").fetchone()
        for server in servers.values():
            for entry in server.entries:
                if entry.request_id not in known and entry.request_id not in self.forgotten:
                    self.forgotten.add(entry.request_id)
                    self.forgotten_parts += entry.parts
        self.excused |= {request for request, outcome in known.items() if outcome is None}
        self.cut = {session for session in self.cut if session <= newest}


class Watch:
    """Looks on at every commit of one life: money, fairness."""

    def __init__(
        self,
        connection: Connection,
        config: Config,
        pipeline: Pipeline,
        budget: Budget,
        servers: Mapping[str, FaultServer],
        tally: Tally,
        history: History,
    ) -> None:
        self._tally = tally
        self._connection = connection
        self._history = history
        self._pipeline = pipeline
        self._used: dict[str, int] = {}
        self._mixed = False
        self._cap(config)
        self._budget = budget
        self._count_used()
        self._servers = servers
        self._base: dict[int, int] = {}
        self._costs: dict[int, int] = {}
        """What samples of each plan cost at the last commit."""
        self._largest: dict[int, int] = {}
        self._last = self._claimed()
        self._spent: dict[str, int] = {}
        self.parked: set[str] = set()
        """Teachers that were parked since the last commit."""
        self._rules = Rules(connection, pipeline, history.limits, history.kept, edited=history.edited)
        self._panels = PanelWatch(connection, tally)

    def _cap(self, config: Config) -> None:
        self._history.in_force(config, self._connection)
        self._total = micros(config.daemon.budget_usd)
        self._caps = {plan.id: micros(plan.config.budget_usd) for plan in self._pipeline.plans}
        self._teacher_caps = {
            teacher.id: micros(config.teachers[teacher.name].budget_usd)
            for teacher in self._pipeline.teachers
            if teacher.name in config.teachers
        }

    def _count_used(self) -> None:
        """What counts against the caps of a configuration that comes into force, which may be lower.

        An attempt that was reserved before, and is stored after, is released unsent.
        """
        self._used = {"the budget": self._budget.total.used}
        self._used |= {f"teacher {each}": account.used for each, account in self._budget._teachers.items()}
        self._used |= {f"plan {each}": account.used for each, account in self._budget._plans.items()}

    def resuming(self) -> None:
        """Parked teachers may be resumed before the next commit, which stores what was claimed while they were parked."""
        self.parked |= {teacher.name for teacher in self._pipeline.teachers if teacher.health.parked}

    def reloading(self) -> None:
        """The rows are those of another configuration: plans may have taken over the samples of others, with what they cost."""
        self._mixed = True
        self._spent = {name: spent for name, spent in self._spent.items() if name.startswith("teacher")}
        self._used = {name: used for name, used in self._used.items() if not name.startswith("plan")}

    def reloaded(self, config: Config) -> None:
        """The other configuration is in force."""
        self._mixed = False
        self._cap(config)
        self._count_used()
        self._base, self._last = {}, self._claimed()
        self._rules = Rules(
            self._connection, self._pipeline, self._history.limits, self._history.kept, edited=True
        )

    def committed(self, now: float) -> str:
        """Checks what is on disk now; returns a summary for the trace."""
        rows = self._connection.execute(
            "SELECT id, claimed, stored, failed, spent_micros, reserved_micros, unknown_micros, active FROM plan"
            " ORDER BY id"
        ).fetchall()
        active = [row[0] for row in rows if row[-1]]
        rows = [row[:-1] for row in rows]
        by_teacher = self._connection.execute(
            "SELECT id, spent_micros, reserved_micros, unknown_micros FROM teacher"
        ).fetchall()
        spent, reserved, unknown = (sum(row[at] for row in by_teacher) for at in (1, 2, 3))
        self._grows(
            {f"teacher {row[0]}": row[1] for row in by_teacher}
            | {f"plan {row[0]}": row[4] for row in rows if row[0] in active}
        )
        self._tally[CAPS] += 1
        self._within("the budget", self._total, spent + reserved + unknown)
        if (most := self._history.total_cap) is not None:
            self._tally[BILLS] += 1
            billed = sum(server.billed_parts for server in self._servers.values())
            billed -= self._history.forgotten_parts
            assert billed <= (most + 1) * PARTS, f"the teachers billed {billed} of {most}"
        costs = {plan: billed + unknown for plan, _, _, _, billed, _, unknown in rows}
        moved = sum(
            max(0, before - costs[plan]) for plan, before in self._costs.items() if plan not in active
        )
        self._costs = costs
        for plan, _, _, _, *money in rows:
            self._within(f"plan {plan}", self._caps.get(plan), sum(money), moved)
            assert min(money) >= 0
        for teacher, *money in by_teacher:
            self._within(f"teacher {teacher}", self._teacher_caps.get(teacher), sum(money))
        if not self._mixed:
            self._fair({row[0]: row[1] for row in rows})
            self._rules.committed(self.parked)
            self.parked.clear()
        self._panels.committed()
        return f"{rows} {spent} {reserved} {unknown}"

    def _within(self, name: str, cap: int | None, used: int, moved: int = 0) -> None:
        """A cap that was lowered below what is used lets it grow no further, but for what samples cost that it takes over."""
        before = self._used.get(name, 0)
        assert cap is None or used <= max(cap, before + moved), (
            f"{name}: {used} is over its budget {cap}, before it was {before}"
        )
        self._used[name] = used

    def _grows(self, spent: dict[str, int]) -> None:
        self._tally[GROWS] += 1
        for name, micros_spent in spent.items():
            before = self._spent.get(name, 0)
            assert micros_spent >= before, f"{name} had spent {before}, and now {micros_spent}"
        self._spent = spent

    def _claimed(self) -> dict[int, int]:
        return dict(self._connection.execute("SELECT id, claimed FROM plan").fetchall())

    def _fair(self, claimed: dict[int, int]) -> None:
        """Of plans of the same teachers that all can go on, wherever there is room, none is far ahead of its weight."""
        plans = [plan for plan in self._pipeline.plans if plan.id in claimed]
        recipes = Counter((plan.task, plan.recipe) for plan in plans)
        going = [
            plan
            for plan in plans
            if not plan.exhausted
            and not plan.state.set_aside
            and not plan.by_need
            and not plan.panel
            and not plan.fallbacks
            and plan.needs is None
            and all(
                self._pipeline.scheduler.budget_policy.affords(plan, teacher)
                for teacher in self._pipeline.teachers
            )
            and recipes[plan.task, plan.recipe] == 1
        ]
        for plan in plans:
            grown = claimed[plan.id] - self._last.get(plan.id, 0)
            self._largest[plan.id] = max(self._largest.get(plan.id, 0), grown)
        self._last = claimed
        if set(self._base) != {plan.id for plan in going}:
            self._base = {plan.id: claimed[plan.id] for plan in going}
            return
        for teachers in {frozenset(plan.teachers) for plan in going}:
            equals = [plan for plan in going if teachers == {*plan.teachers}]
            had = {plan.id: (claimed[plan.id] - self._base[plan.id]) / plan.config.weight for plan in equals}
            room = FAIR * sum(max(1, self._largest[plan.id]) / plan.config.weight for plan in equals)
            self._tally[FAIRNESS] += 1
            assert max(had.values()) - min(had.values()) <= room, f"unfair: {had}, largest {self._largest}"


def check_rest(folder: Path, tally: Tally | None = None) -> None:
    """After a death: every counter is what a recount gives."""
    if tally is not None:
        tally[COUNTERS] += 1
    with closing(open_reader(folder / "state.db")) as connection:
        check_counts(_world(folder, connection))


def check_end(
    folder: Path, scenario: Scenario, servers: Mapping[str, FaultServer], history: History, tally: Tally
) -> dict[str, int]:
    """When all work is done: the promise, from the teachers' own accounts."""
    with closing(open_reader(folder / "state.db")) as connection:
        check_counts(_world(folder, connection))
        tally[COUNTERS] += 1
        tally[ENDS] += 1
        left = connection.execute(
            "SELECT count(*) FROM sample s JOIN plan p ON p.id = s.plan_id WHERE s.state = 'open' AND p.active = 1"
        ).fetchone()[0]
        assert left == 0, f"{left} samples neither stored nor failed"
        for name, wanted, cursor, claimed, skipped, accepted, target, slots, unless in connection.execute(
            "SELECT name, wanted, cursor, claimed, skipped, accepted, target, questions * base, unless FROM plan"
            " WHERE active = 1"
        ):
            assert cursor == slots or (target and accepted >= target), (
                f"plan {name} stands at {cursor} of {slots}"
            )
            if not (scenario.shares or history.edited):
                assert claimed + skipped == wanted, f"plan {name} claimed {claimed} of {wanted}"
                assert unless or skipped == 0, f"plan {name} passed over {skipped} slots"
        twice = connection.execute(
            "SELECT sample_id, turn FROM attempt WHERE outcome = 'ok' GROUP BY 1, 2 HAVING count(*) > 1"
        ).fetchall()
        assert not twice, f"paid again after the answer was stored: {twice}"
        ungraded = connection.execute(
            "SELECT count(*) FROM sample WHERE state = 'stored' AND verdict IS NULL"
        ).fetchone()[0]
        assert ungraded == 0, f"{ungraded} answers without a verdict"
        check_rules(connection, edited=history.edited)
        check_panels(connection, servers, tally)
        stored = "SELECT count(*) FROM attempt WHERE outcome = 'ok'"
        tally[ONCE] += connection.execute(stored).fetchone()[0]
        tally[GRADED] += connection.execute("SELECT count(*) FROM sample WHERE state = 'stored'").fetchone()[
            0
        ]
        found = _check_bills(connection, servers, history, tally)
        _check_ledgers(connection, servers, tally)
        _check_tries(connection, history, servers, tally)
        _check_recipes(connection, scenario.config(folder), servers, tally)
    for name, server in servers.items():
        _check_pace(name, server, tally, known=not history.edited)
    return found


def _check_bills(
    connection: Connection, servers: Mapping[str, FaultServer], history: History, tally: Tally
) -> dict[str, int]:
    """No answer is lost; every payment is stored, or explained by an attempt marked unknown."""
    attempts = {
        request: (outcome, raw, boot)
        for request, outcome, raw, boot in connection.execute(
            "SELECT a.request_id, a.outcome, c.raw, a.boot_id"
            " FROM attempt a LEFT JOIN completion c ON c.attempt_id = a.id WHERE a.choice = 0"
        )
    }
    _check_siblings(connection)
    entries = {entry.request_id: entry for server in servers.values() for entry in server.entries}
    assert len(entries) == sum(len(server.entries) for server in servers.values()), "a request id came twice"
    assert not history.forgotten & set(attempts), (
        "a request id was given again after the database was put back"
    )
    entries = {request: entry for request, entry in entries.items() if request not in history.forgotten}
    cut = history.cut
    stored = unexplained = 0
    for request, entry in entries.items():
        tally[FIRST] += 1
        tally[PROMISE] += entry.billed
        assert request in attempts, "a request left before it was written down"
        outcome, raw, boot = attempts[request]
        assert boot == entry.boot, "an attempt of a dead daemon was sent by the next one"
        if raw is not None:
            tally[BODIES] += 1
            assert hashlib.sha256(zlib.decompress(raw)).hexdigest() == entry.digest, "another body was stored"
        if not entry.billed:
            assert raw is None or entry.fault == "malformed", f"{entry.fault}: a body was stored"
        elif raw is not None:
            stored += 1
        else:
            unexplained += 1
            assert outcome == "unknown", f"a payment ended as {outcome} without its body"
            whole = entry.fault in ("ok", "slow", "malformed")
            assert not (
                whole and entry.delivered and entry.boot not in cut and request not in history.excused
            ), "a received answer is lost"
        if outcome == "ok":
            assert entry.delivered and entry.fault in ("ok", "slow"), f"{entry.fault} counts as an answer"
    unknown = 0
    for request, (outcome, _, boot) in attempts.items():
        assert outcome is not None, "an attempt has no outcome"
        assert request in entries or outcome in ("unknown", "released"), f"{outcome}, but never sent"
        if outcome == "unknown":
            unknown += 1
            entry = entries.get(request)
            assert (
                boot in cut or request in history.excused or (entry is not None and entry.fault in AMBIGUOUS)
            ), "unknown without a cause"
    tally[SURPLUS] += 1
    billed = sum(entry.billed for entry in entries.values())
    assert billed - stored == unexplained <= unknown
    return {"billed": billed, "stored": stored, "unknown": unknown}


def _check_ledgers(connection: Connection, servers: Mapping[str, FaultServer], tally: Tally) -> None:
    """For each teacher: answers are booked with what it billed for them; one that does not say it, with no less."""
    booked: dict[str, tuple[int, int]] = {
        request: (micros_booked, estimated)
        for request, micros_booked, estimated in connection.execute(
            "SELECT request_id, sum(cost_micros), max(estimated) FROM attempt GROUP BY request_id"
            " HAVING max(outcome = 'ok')"
        )
    }
    (boots,) = connection.execute("SELECT count(*) FROM boot").fetchone()
    (plans,) = connection.execute("SELECT count(*) FROM plan").fetchone()
    for name, server in servers.items():
        answered = [entry for entry in server.entries if entry.request_id in booked]
        for entry in answered:
            micros_booked, estimated = booked[entry.request_id]
            assert estimated == (not entry.stated)
            assert entry.stated or micros_booked * PARTS >= entry.range[0], (
                "less is booked than may be billed"
            )
        least, most = (sum(entry.range[end] for entry in answered if entry.stated) / PARTS for end in (0, 1))
        kept = sum(booked[entry.request_id][0] for entry in answered if entry.stated)
        tally[LEDGER] += 1
        room = most / 1000 + boots * plans
        assert least - room <= kept <= most + room, f"{name} billed {least} to {most}, booked is {kept}"


def _check_siblings(connection: Connection) -> None:
    """Attempts of one request end alike, but for those that its answer had nothing for; the body is stored once."""
    for outcome, own, leader, raw, reserved, unknown in connection.execute(
        "SELECT a.outcome, a.request_id, l.request_id, c.raw, a.reserved_micros, a.unknown_micros"
        " FROM attempt a JOIN attempt l ON l.id = a.leader_id"
        " LEFT JOIN completion c ON c.attempt_id = a.id WHERE a.choice > 0"
    ):
        assert own == leader and raw is None
        assert outcome != "unknown" or unknown == reserved
    uneven = connection.execute(
        "SELECT l.request_id, l.outcome, a.outcome FROM attempt a JOIN attempt l ON l.id = a.leader_id"
        " WHERE a.outcome IS NOT l.outcome AND NOT (l.outcome = 'ok' AND a.outcome = 'released')"
    ).fetchall()
    assert not uneven, f"attempts of one request ended differently: {uneven}"


def _check_tries(
    connection: Connection, history: History, servers: Mapping[str, FaultServer], tally: Tally
) -> None:
    """Attempts are used up by faults of the teacher alone; a sample fails for cause."""
    fault = {entry.request_id: entry.fault for server in servers.values() for entry in server.entries}
    burned: dict[int, int] = defaultdict(int)
    refused: set[int] = set()
    for sample, request, outcome in connection.execute("SELECT sample_id, request_id, outcome FROM attempt"):
        may_burn = (*BURNS, "full")  # a full server's only where nothing shows that it is full
        burned[sample] += fault.get(request) in may_burn and outcome in ("transient", "malformed")
        if fault.get(request) == "own" or (fault.get(request) in PERMANENT and outcome == "permanent"):
            refused.add(sample)
    rows: list[tuple[Any, ...]] = connection.execute(
        "SELECT id, state, attempts, unknowns, reason FROM sample"
    ).fetchall()
    anew = connection.execute("SELECT count(*) FROM command WHERE kind = 'retry'").fetchone()[0] > 0
    for sample, state, attempts, unknowns, reason in rows:
        tally[TRIES] += 1
        assert attempts == burned[sample] or (anew and attempts < burned[sample]), (
            f"sample {sample}: {attempts} attempts used, {burned[sample]} faults"
        )
        if state == "failed":
            tally[GIVEN_UP] += 1
            assert sample in refused or attempts >= history.max_attempts or unknowns >= 3, (
                f"given up for nothing: {reason}"
            )


def _check_recipes(
    connection: Connection, config: Config, servers: Mapping[str, FaultServer], tally: Tally
) -> None:
    """Answers under one fingerprint were all asked with the same settings, of the models of the plan's teachers."""
    entries = {entry.request_id: entry for server in servers.values() for entry in server.entries}
    settings: dict[tuple[str, int], str] = {}
    for recipe, turn, request, teachers in connection.execute(
        "SELECT s.recipe, a.turn, a.request_id, p.teachers FROM attempt a JOIN sample s ON s.id = a.sample_id"
        " JOIN plan p ON p.task_id = s.task_id AND p.recipe = s.recipe AND p.active = 1"
        " WHERE a.outcome = 'ok' AND a.choice = 0"
    ):
        tally[RECIPE] += 1
        entry = entries[request]
        before = settings.setdefault((recipe, turn), entry.settings)
        assert entry.settings == before, f"one fingerprint, asked as {before} and as {entry.settings}"
        models = {model_of(config.teachers[name]) for name in json.loads(teachers)}
        assert entry.model in models, f"{entry.model} was asked for a plan of {models}"


def _check_pace(name: str, server: FaultServer, tally: Tally, *, known: bool) -> None:
    """No life of the daemon, or configuration in it, asks much more in a minute than the teacher takes."""
    limit = server.behaviour.requests_per_minute
    if limit is None:
        return
    known = known and server.config.requests_per_minute == limit
    key_workers: dict[tuple[int, str], list[tuple[float, int]]] = defaultdict(list)
    for entry in server.entries:
        # A 429 of the weather is for no limit of its own: looked at again soon. Where nothing tells the limit, only what
        # the teacher counts or refuses for it can teach it.
        if entry.fault not in ("429", "429-told") if known else entry.fault in ("ok", "limit"):
            key_workers[entry.epoch, entry.key].append((entry.at, entry.level))
    for requests in key_workers.values():
        first = most = 0
        for last, (at, level) in enumerate(requests):
            while requests[first][0] <= at - WINDOW_S:
                first += 1
            asked = last - first + 1
            most = max(most, level)
            over = OVER_KNOWN if known else OVER_UNKNOWN + most  # those under way hear of it too late
            tally[PACE] += 1
            assert asked <= limit + over, f"{name} was asked {asked} times in a minute, takes {limit}"


def _world(folder: Path, connection: Connection) -> World:
    teachers = dict(connection.execute("SELECT name, id FROM teacher").fetchall())
    return World(folder / "state.db", connection, teachers=teachers)
