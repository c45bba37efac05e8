"""One place of work, and a daemon that is killed in it again and again: real processes, SIGKILL, the teacher's ledger.

Each life of the daemon is drawn from the seed: the moment at which it is killed, and how long after that moment. A
moment is a condition that is waited for. What each kill hit is read from the database and the ledger, and a campaign
whose kills missed what they are for fails. What was on disk at a death (every stored body, by its hash) is noted, and
must be there, the same, at the end. When the work is done before the kills are, more rationales are asked for, as a
person would.
"""

from __future__ import annotations

import hashlib
import math
import random
import time
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from state.database import open_reader
from tests.daemon.ledgers import check_promise
from tests.daemon.site import Daemon, Teacher, configure, count, query, run_to_end
from tests.simulation.invariants import check_rest

AT_ONCE = 8
PEERS_AT_ONCE = 4
IN_FLIGHT = AT_ONCE + 2 * PEERS_AT_ONCE
LATENCY_MS = 60
LONGEST_S = 60.0
"""A moment that does not come in this time never does."""
TRAINING_S = 20.0
"""A run that is not due in this time is not waited for."""
LOOK_S = 0.003
END_S = 1800.0
"""The rest of the work, once nothing is killed any more, takes no longer."""

BOOT, FIRST, UNKNOWN = "a start, before its first request", "a first request", "a request in flight"
TALK = "a panel between two turns"
HITS = (BOOT, FIRST, UNKNOWN, TALK)
"""What kills have to hit, all of them in a campaign of 20 or more."""
ENOUGH = 20

PANEL = """
[teachers.peer]
base_url = "{url}"
model = "practice-large"
usd_per_million_input = 0.15
usd_per_million_output = 0.60
concurrency = {at_once}

[teachers.other]
base_url = "{url}"
model = "practice-small"
usd_per_million_input = 0.15
usd_per_million_output = 0.60
concurrency = {at_once}

[[plans]]
name = "talk"
strategy = "brainstorm"
teachers = ["school", "peer", "other"]
rounds = 3
rationales = {rationales}
"""

_BETWEEN_TURNS = (
    "SELECT 1 FROM sample s JOIN plan p ON p.id = s.plan_id WHERE p.panel <> '' AND s.state = 'open'"
    " AND EXISTS (SELECT 1 FROM attempt a WHERE a.sample_id = s.id AND a.outcome = 'ok') LIMIT 1"
)
_TURNS_OF_PANELS = (
    "SELECT question_id, replicate, count(*), min(turns), max(turns) FROM (SELECT s.question_id, s.replicate,"
    " (SELECT count(*) FROM attempt a WHERE a.sample_id = s.id AND a.outcome = 'ok') AS turns"
    " FROM sample s JOIN plan p ON p.id = s.plan_id WHERE p.panel <> '') GROUP BY 1, 2"
)

STUDENTS = """
[[students]]
name = "cot"
rationales = 8
train_at = [{counts}, "complete"]
training = {{ steps = 24, learning_rate = 3e-3, checkpoint_steps = 4 }}
evaluation = {{ dev_evaluations = 1, max_new_tokens = 16 }}
"""

TRAIN_AT = (40, 120, *range(250, 20_001, 250))
"""Samples at which a run is due: the work grows as long as there are kills, and so do the runs that they can hit."""


@dataclass
class Told:
    """What a campaign was."""

    kills: int = 0
    moments: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    """Moments that did not come."""
    hits: Counter[str] = field(default_factory=Counter)
    """What the kills hit, of `HITS`."""
    billed: int = 0
    stored: int = 0
    unknown: int = 0
    lost: int = 0
    bodies: int = 0
    """Stored bodies that were compared with what the teacher says it sent."""
    surplus: list[int] = field(default_factory=list)
    """Payments without a stored answer, for each kill."""
    first_request_s: list[float] = field(default_factory=list)
    """From the start of a daemon to the first request that the teacher received of it."""
    talks: int = 0
    """Panels that came to their end."""
    runs: int = 0
    adopted: int = 0


Moment = Callable[[Teacher, Daemon], bool]


class Campaign:
    """The kills of one seed, in a folder of their own."""

    def __init__(
        self, folder: Path, seed: int, *, train: bool, questions: int = 400, ledger: Path | None = None
    ) -> None:
        """`ledger`: the folder of the teacher's, where it is not this one."""
        self._folder = folder
        self._ledger = ledger or folder
        self._rng = random.Random(seed)
        self._train = train
        self._questions = questions
        self._rationales = 1
        self._told = Told()
        self._kept: dict[int, bytes] = {}
        self._boots: list[int] = []
        self._before = 0  # the newest session when a life begins
        self._edits: dict[str, Any] = {}
        self._url = ""
        self._read = self._lines = 0  # of the ledger's file

    def run(self, kills: int, minutes: float = math.inf) -> Told:
        """Kills so often, or for so long, then lets the work come to its end.

        Raises:
            AssertionError: something did not hold.
        """
        teacher = Teacher(self._ledger, "--latency-ms", str(LATENCY_MS))
        try:
            deadline = time.monotonic() + 60 * minutes
            while self._told.kills < kills and time.monotonic() < deadline:
                self._configure(teacher)
                self._life(teacher)
            self._configure(teacher)
            code, output = run_to_end(self._folder, seconds=END_S)
            given_up = count(self._folder, "sample", "state = 'failed'")  # in flight at three kills
            assert code == (given_up > 0), output[-3000:]
            self._check(teacher)
            self._check_hits()
        finally:
            teacher.stop()
        return self._told

    def _configure(self, teacher: Teacher) -> None:
        """The work; more of it where all is done, and where the daemon has seen what was last asked for."""
        wanted = self._questions * self._rationales
        if self._boots and self._is_done() and count(self._folder, "plan", f"wanted = {wanted}"):
            self._rationales += 1
        self._url = teacher.url
        configure(self._folder, teacher.url, **self._settings())

    def _settings(self) -> dict[str, Any]:
        return {
            "train": self._questions,
            "rationales": self._rationales,
            "teacher": f"concurrency = {AT_ONCE}",
            "plan": 'teachers = ["school"]',
            "students": PANEL.format(url=self._url, at_once=PEERS_AT_ONCE, rationales=self._rationales)
            + (STUDENTS.format(counts=", ".join(map(str, TRAIN_AT))) if self._train else ""),
        }

    def _moments(self) -> dict[str, tuple[int, Moment]]:
        """How often each moment is drawn, and what waits for it; it returns whether it came."""
        found: dict[str, tuple[int, Moment]] = {
            "start": (2, self._at_start),
            "session": (1, self._at_session),
            "first request": (2, self._at_first_request),
            "sampling": (8, self._while_sampling),
            "drain": (1, self._while_draining),
        }
        if self._train:
            found |= {"trigger": (1, self._at_trigger), "checkpoint": (2, self._at_checkpoint)}
        return found

    def _life(self, teacher: Teacher) -> None:
        """From a start to a kill."""
        moments = self._moments()
        moment = self._rng.choices(list(moments), [weight for weight, _ in moments.values()])[0]
        started, self._before = time.time(), self._newest_boot()
        running = Daemon(self._folder)
        try:
            if not moments[moment][1](teacher, running):
                self._told.missed[moment] += 1
            early = running.process.poll()
            assert early is None or (moment in self._ending and early in (0, 130, -15)), running.output()[
                -3000:
            ]
        finally:
            running.kill()
        self._told.kills += 1
        self._told.moments[moment] += 1
        self._look(teacher, started)

    @property
    def _ending(self) -> tuple[str, ...]:
        """Moments in which the daemon may end by itself."""
        return ("drain",)

    def _at_start(self, teacher: Teacher, running: Daemon) -> bool:
        """When it holds the lock: its session may be written, or not yet."""
        lock = self._folder / "state.db.lock"
        return self._until(lambda: lock.exists() and f'"pid": {running.process.pid}' in lock.read_text())

    def _at_session(self, teacher: Teacher, running: Daemon) -> bool:
        """When its session is written; nothing has left yet, or the first requests just have."""
        return self._until(lambda: self._newest_boot() > self._before)

    def _at_first_request(self, teacher: Teacher, running: Daemon) -> bool:
        before = self._entries(teacher)
        return self._until(lambda: self._entries(teacher) > before)

    def _while_sampling(self, teacher: Teacher, running: Daemon) -> bool:
        """After some answers, and any time after that."""
        self._at_session(teacher, running)  # until then the plans are those of the former configuration
        wanted = self._entries(teacher) + self._rng.randint(1, 60)
        came = self._until(lambda: self._entries(teacher) >= wanted or self._is_done())
        time.sleep(self._rng.uniform(0, 0.1))
        return came

    def _while_draining(self, teacher: Teacher, running: Daemon) -> bool:
        self._while_sampling(teacher, running)
        running.terminate()
        came = self._until(lambda: "stopping" in running.output() or running.process.poll() is not None)
        time.sleep(self._rng.uniform(0, 0.15))
        return came

    def _at_trigger(self, teacher: Teacher, running: Daemon) -> bool:
        """When a run becomes due."""
        self._at_session(teacher, running)
        before = count(self._folder, "run")
        self._until(lambda: count(self._folder, "run") > before or self._is_done(), TRAINING_S)
        return count(self._folder, "run") > before

    def _at_checkpoint(self, teacher: Teacher, running: Daemon) -> bool:
        """When a training process has written something."""
        self._at_session(teacher, running)
        before = self._marks()
        self._until(lambda: self._trains() or self._is_done(), TRAINING_S)
        self._until(lambda: self._marks() != before or not self._trains())
        return self._marks() != before

    def _newest_boot(self) -> int:
        """The newest daemon session; 0 if there is none."""
        try:
            rows = query(self._folder, "SELECT coalesce(max(id), 0) FROM boot")
        except Exception:  # the database is being created
            return 0
        return int(rows[0][0]) if rows else 0

    def _is_done(self) -> bool:
        """Whether nothing is left to sample."""
        return count(self._folder, "plan", "active = 1 AND stored + failed < wanted") == 0

    def _trains(self) -> bool:
        """Whether a run is on its way to a checkpoint."""
        return count(self._folder, "run", "state IN ('starting', 'training')") > 0

    def _marks(self) -> list[str]:
        return sorted(str(path) for path in (self._folder / "runs").glob("*/checkpoints/*"))

    def _entries(self, teacher: Teacher) -> int:
        """How many requests the teacher has entered in its ledger."""
        if teacher.ledger_file.exists():
            with teacher.ledger_file.open("rb") as file:
                file.seek(self._read)
                new = file.read()
            self._read += len(new)
            self._lines += new.count(b"\n")
        return self._lines

    def _until(self, condition: Callable[[], bool], seconds: float = LONGEST_S) -> bool:
        """Whether a condition came true in time."""
        deadline = time.monotonic() + seconds
        while not (came := condition()) and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        return came

    def _look(self, teacher: Teacher, started: float) -> None:
        """What a death left: the bodies on disk, what the kill hit, and how soon the daemon had asked."""
        newest = max(self._kept, default=0)
        for attempt, raw in query(
            self._folder, "SELECT attempt_id, raw FROM completion WHERE attempt_id > ?", newest - 200
        ):
            digest = hashlib.sha256(zlib.decompress(raw)).digest()
            assert self._kept.setdefault(attempt, digest) == digest, "a stored body is another one"
        boot = self._newest_boot()
        if boot == self._before:
            self._told.hits[BOOT] += 1  # killed before its session was there
            return
        self._boots.append(boot)
        attempts = dict(
            query(self._folder, "SELECT request_id, outcome FROM attempt WHERE boot_id = ?", boot)
        )
        asked = [entry["received_at"] for entry in teacher.ledger() if entry["request_id"] in attempts]
        self._told.hits[BOOT] += not asked
        self._told.hits[FIRST] += 0 < len(asked) <= IN_FLIGHT
        self._told.hits[UNKNOWN] += None in attempts.values()
        self._told.hits[TALK] += bool(query(self._folder, _BETWEEN_TURNS))
        if asked:
            self._told.first_request_s.append(min(asked) / 1000 - started)

    def _check(self, teacher: Teacher) -> None:
        told, ledger = self._told, teacher.ledger()
        found = check_promise(self._folder, ledger)
        told.billed, told.stored = found["billed"], found["stored"]
        told.unknown = count(self._folder, "attempt", "outcome = 'unknown'")
        attempts: dict[str, tuple[Any, ...]] = {
            row[0]: row[1:]
            for row in query(
                self._folder,
                "SELECT a.request_id, a.boot_id, a.outcome, c.raw IS NOT NULL FROM attempt a"
                " LEFT JOIN completion c ON c.attempt_id = a.id",
            )
        }
        surplus = Counter(dict.fromkeys(self._boots, 0))
        for entry in ledger:
            boot, outcome, kept = attempts[entry["request_id"]]
            if entry["billed"] and not kept:
                surplus[boot] += 1
                told.lost += outcome != "unknown"
            told.bodies += bool(entry["billed"] and entry["answered"] and kept)
        told.surplus = list(surplus.values())
        assert max(told.surplus, default=0) <= IN_FLIGHT, f"a kill cost more than was in flight: {surplus}"
        assert told.lost == 0
        assert told.billed - told.stored == sum(told.surplus) <= told.unknown
        self._check_database()
        self._check_runs()

    def _check_hits(self) -> None:
        """The kills hit what they are meant for, so what holds was shown."""
        told = self._told
        if told.kills < ENOUGH:
            return
        for what in HITS:
            assert told.hits[what], f"no kill of {told.kills} hit {what}: nothing was shown of it"
        assert told.unknown, (
            f"no attempt of {told.kills} kills is unknown: nothing was in flight at any of them"
        )
        for moment, tries in told.moments.items():
            missed = told.missed[moment]
            assert tries < 3 or missed < tries, f"{moment} was waited for {tries} times and never came"

    def _check_database(self) -> None:
        check_rest(self._folder)
        with closing(open_reader(self._folder / "state.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
            kept = dict(connection.execute("SELECT attempt_id, raw FROM completion"))
        for attempt, digest in self._kept.items():
            assert hashlib.sha256(zlib.decompress(kept[attempt])).digest() == digest, "a stored body went"
        assert count(self._folder, "sample", "state <> 'stored' OR verdict IS NULL") == 0
        assert count(self._folder, "attempt", "outcome IS NULL") == 0
        self._told.talks = len(talks := query(self._folder, _TURNS_OF_PANELS))
        for question, replicate, members, fewest, most in talks:
            assert (members, fewest) == (3, most), f"the members of panel {question}.{replicate} ended apart"

    def _check_runs(self) -> None:
        """Each run was made once, from rows that are still what they were, and trained to its end."""
        rows = query(self._folder, "SELECT id, state, digest, step, steps FROM run")
        for run, state, digest, step, steps in rows:
            assert (state, step) == ("done", steps), f"run {run} is {state} at {step} of {steps}"
            manifest = self._folder / "runs" / str(run) / "manifest.jsonl"
            assert hashlib.sha256(manifest.read_bytes()).hexdigest() == digest, run
            seen = query(self._folder, "SELECT step FROM metric WHERE run_id = ? ORDER BY step", run)
            assert len(seen) == len(set(seen)) and seen[-1] == (steps,)
        self._told.runs = len(rows)
        self._told.adopted = count(
            self._folder, "event", "kind = 'RunStarted' AND message LIKE '%still running%'"
        )
