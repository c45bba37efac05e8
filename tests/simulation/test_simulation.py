"""A short night: what `make simulate` does at length, and that it would notice."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.limits.key_limits import KeyLimits
from daemon.sampling import attempt_store, recovery
from daemon.sampling.budget import Budget
from daemon.sampling.fallback import FallbackPolicy
from daemon.sampling.scheduler import Scheduler
from state import daemon_sessions, outcomes, resampling, slots
from state.slots import PlanSlots
from tests.simulation.__main__ import cause
from tests.simulation.simulation import Simulation

ROOT = Path(__file__).resolve().parents[2]
SEEDS = (*range(12), 57, 133, 327, 384, 1862)
"""The first ones, two with a panel, one that once found a daemon that ended while it looked at a locked database, and two that found one
that waited for money for ever."""


@pytest.mark.parametrize("seed", SEEDS)
def test_all_work_ends_and_all_money_is_accounted_for(seed: int, tmp_path: Path) -> None:
    told = Simulation(seed, tmp_path).run()
    assert told.stored and told.billed - told.stored <= told.unknown


def test_a_seed_is_one_story_whatever_the_hash_seed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.simulation", *"--from 1 --seeds 2 --jobs 1 --trace".split()]
    running = [
        subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, stdout=subprocess.PIPE, text=True
        )
        for seed in ("1", "2")
    ]
    told = [process.communicate()[0].splitlines()[:2] for process in running]
    assert told[0] == told[1]
    assert len(told[0]) == 2 and all(len(line.split()[1]) == 64 for line in told[0]), told[0]


Break = Callable[[pytest.MonkeyPatch], None]


def burns_on_429(patch: pytest.MonkeyPatch) -> None:
    whole = attempt_store.record

    def record(connection: Any, endings: Any) -> Any:
        for ending in endings:
            ending.counts = ending.counts or ending.status == 429
        return whole(connection, endings)

    patch.setattr(attempt_store, "record", record)


def loses_answers(patch: pytest.MonkeyPatch) -> None:
    whole, chance = attempt_store.record, random.Random(1)

    def record(connection: Any, endings: Any) -> Any:
        for ending in endings:
            if ending.raw is not None and chance.random() < 0.05:
                ending.raw = None
        return whole(connection, endings)

    patch.setattr(attempt_store, "record", record)


def loses_siblings(patch: pytest.MonkeyPatch) -> None:
    whole = attempt_store.record_groups
    patch.setattr(
        attempt_store,
        "record_groups",
        lambda connection, groups: whole(connection, [group[:-1] for group in groups]),
    )


def forgets_turns(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recovery, "received_turns", lambda connection, sample: [])


def forgets_the_dead(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(daemon_sessions, "_end_unanswered", lambda connection, session: 0)


def overspends(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Budget, "room", lambda self, plan, teacher: 1e12)


def favours_the_first(patch: pytest.MonkeyPatch) -> None:
    whole = Scheduler._in_turn
    patch.setattr(
        Scheduler, "_in_turn", lambda self, teacher: sorted(whole(self, teacher), key=lambda plan: plan.id)
    )


def keeps_no_pace(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(KeyLimits, "ready_at", lambda self, now, tokens, output=0: now)


def leaves_the_open(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recovery, "open_samples", lambda *_, **__: [])


def asks_before_the_verdict(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(resampling, "_MISSING", resampling._MISSING.replace(resampling.PENDING, "0"))


def forgets_who_needs_more(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(outcomes, "refresh_needs", lambda *_: None)


def overshoots(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PlanSlots, "room", property(lambda plan: 1000 if plan.target else None))


def falls_back_for_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FallbackPolicy, "_out", lambda self, plan, teacher: True)


def asks_for_whole_groups(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(slots, "_AGAIN", slots._AGAIN.replace(slots._OPEN_OR_CORRECT, "-9"))


def asks_what_was_solved(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(slots, "_BASE", slots._BASE.replace("?5 <> '' AND", "0 AND"))


def does_not_wait(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Scheduler, "waits", lambda self, plan: False)


@pytest.mark.parametrize(
    ("broken", "seed", "told"),
    [
        (burns_on_429, 1, "attempts used"),
        (loses_answers, 1, "without its body"),
        (loses_siblings, 39, "ended differently"),
        (forgets_turns, 6, "paid again"),
        (forgets_the_dead, 3, "ended as None"),
        (overspends, 43, "over its budget"),
        (favours_the_first, 40, "unfair"),
        (keeps_no_pace, 24, "in a minute"),
        (leaves_the_open, 5, "neither stored nor failed"),
        (asks_before_the_verdict, 20, "of 2"),
        (forgets_who_needs_more, 2, "to be asked again"),
        (overshoots, 6, "would do"),
        (falls_back_for_nothing, 19, "took over"),
        (asks_for_whole_groups, 3, "of 1"),
        (asks_what_was_solved, 4, "which the plan before solved"),
        (does_not_wait, 4, "began before"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_daemon_that_breaks_a_promise_is_found_out(
    broken: Break, seed: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch)
    with pytest.raises((AssertionError, BaseExceptionGroup)) as caught:
        Simulation(seed, tmp_path).run()
    assert told in str(cause(caught.value))
