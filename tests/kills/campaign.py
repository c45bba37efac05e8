"""One place of work, and a daemon that is killed in it again and again: real processes, SIGKILL, the teacher's ledger.

Each life of the daemon is drawn from the seed: the moment at which it is killed, and how long after that moment.
What was on disk at a death (every stored body, by its hash) is noted, and must be there, the same, at the end.
When the work is done before the kills are, more rationales are asked for, as a person would.
"""

from __future__ import annotations

import hashlib
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
LATENCY_MS = 60
LONGEST_S = 2.5
"""A moment that does not come in this time is not waited for."""
LOOK_S = 0.003

STUDENTS = """
[[students]]
name = "cot"
rationales = 2
train_at = [40, 120, 250, 500, "complete"]
training = { steps = 24, learning_rate = 3e-3, checkpoint_steps = 4 }
evaluation = { dev_evaluations = 1, max_new_tokens = 16 }
"""


@dataclass
class Told:
    """What a campaign was."""

    kills: int = 0
    moments: Counter[str] = field(default_factory=Counter)
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
    runs: int = 0
    adopted: int = 0


class Campaign:
    """The kills of one seed, in a folder of their own."""

    def __init__(self, folder: Path, seed: int, *, train: bool, questions: int = 400) -> None:
        self._folder = folder
        self._rng = random.Random(seed)
        self._train = train
        self._questions = questions
        self._rationales = 1
        self._told = Told()
        self._kept: dict[int, bytes] = {}
        self._boots: list[int] = []
        self._read = self._lines = 0  # of the ledger's file

    def run(self, kills: int) -> Told:
        """Kills so often, then lets the work come to its end.

        Raises:
            AssertionError: something did not hold.
        """
        teacher = Teacher(self._folder, "--latency-ms", str(LATENCY_MS))
        try:
            for _ in range(kills):
                self._configure(teacher)
                self._life(teacher)
            self._configure(teacher)
            code, output = run_to_end(self._folder, seconds=600)
            given_up = count(self._folder, "sample", "state = 'failed'")  # in flight at three kills
            assert code == (given_up > 0), output[-3000:]
            self._check(teacher)
        finally:
            teacher.stop()
        return self._told

    def _configure(self, teacher: Teacher) -> None:
        """The work; more of it where all is done."""
        if self._boots and count(self._folder, "plan", "active = 1 AND stored + failed < wanted") == 0:
            self._rationales += 1
        configure(
            self._folder,
            teacher.url,
            train=self._questions,
            rationales=self._rationales,
            teacher=f"concurrency = {AT_ONCE}",
            students=STUDENTS if self._train else "",
        )

    def _life(self, teacher: Teacher) -> None:
        """From a start to a kill."""
        moments: dict[str, Callable[[Teacher], None]] = {
            "start": self._at_start,
            "sampling": self._while_sampling,
            "drain": self._while_sampling,
        }
        if self._train:
            moments |= {"trigger": self._at_trigger, "checkpoint": self._at_checkpoint}
        moment = self._rng.choices(list(moments), [3, 9, 1, 1, 2][: len(moments)])[0]
        started = time.time()
        running = Daemon(self._folder)
        try:
            moments[moment](teacher)
            time.sleep(self._rng.uniform(0, 0.1))
            if moment == "drain":
                running.terminate()
                time.sleep(self._rng.uniform(0, 0.15))
            early = running.process.poll()
            assert early is None or (moment == "drain" and early in (0, 130, -15)), running.output()[-3000:]
        finally:
            running.kill()
        self._told.kills += 1
        self._told.moments[moment] += 1
        self._look(teacher, started)

    def _at_start(self, teacher: Teacher) -> None:
        time.sleep(self._rng.uniform(0, 1.2))

    def _while_sampling(self, teacher: Teacher) -> None:
        """After some answers."""
        wanted = self._entries(teacher) + self._rng.randint(1, 60)
        self._until(lambda: self._entries(teacher) >= wanted)

    def _at_trigger(self, teacher: Teacher) -> None:
        """When a run becomes due; else after the time in which none did."""
        before = count(self._folder, "run")
        self._until(lambda: count(self._folder, "run") > before)

    def _at_checkpoint(self, teacher: Teacher) -> None:
        """When a training process has written something."""
        before = self._marks()
        self._until(lambda: self._marks() != before)

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

    def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LONGEST_S
        while time.monotonic() < deadline and not condition():
            time.sleep(LOOK_S)

    def _look(self, teacher: Teacher, started: float) -> None:
        """What a death left: the bodies on disk, and how soon the daemon had asked."""
        newest = max(self._kept, default=0)
        for attempt, raw in query(
            self._folder, "SELECT attempt_id, raw FROM completion WHERE attempt_id > ?", newest - 200
        ):
            digest = hashlib.sha256(zlib.decompress(raw)).digest()
            assert self._kept.setdefault(attempt, digest) == digest, "a stored body is another one"
        boot = query(self._folder, "SELECT max(id) FROM boot") or [(None,)]
        if boot[0][0] is None or boot[0][0] in self._boots:
            return  # killed before it was there
        self._boots.append(boot[0][0])
        mine = {
            request
            for (request,) in query(
                self._folder, "SELECT request_id FROM attempt WHERE boot_id = ?", boot[0][0]
            )
        }
        first = min(
            (entry["received_at"] for entry in teacher.ledger() if entry["request_id"] in mine), default=None
        )
        if first is not None:
            self._told.first_request_s.append(first / 1000 - started)

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
        assert max(told.surplus, default=0) <= AT_ONCE, f"a kill cost more than was in flight: {surplus}"
        assert told.lost == 0
        assert told.billed - told.stored == sum(told.surplus) <= told.unknown
        self._check_database()
        self._check_runs()

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
