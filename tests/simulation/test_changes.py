"""Edits, a database that is put back, a full disk: one at a time, and a daemon that handles it wrongly is found out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.catalog import served_runs
from daemon.sampling.budget import Budget
from daemon.sampling.key_workers import RequestTransport
from daemon.sampling.token_accounting import TokenAccounting
from state import claims, resampling, writer
from tests.simulation.__main__ import cause
from tests.simulation.edits import Edit
from tests.simulation.scenario import Death, Scenario
from tests.simulation.simulation import Simulation
from tests.simulation.test_outages import lived, night
from tests.simulation.user import FULL, FULL_RELOAD, KILLED_RELOAD, PUT_BACK

SOON = 0.7
"""Some answers are stored then, and some requests in flight."""


def edited(table: str, field: str, value: Any, *, signal: bool = True, **more: Any) -> Scenario:
    return night("", 0, questions=40, edits=[Edit(SOON, signal, table, field, value)], **more)


def with_plan(made: Scenario, **settings: Any) -> Scenario:
    plan = {**made.tables["plans"][0], **settings}
    return dataclasses.replace(made, tables={**made.tables, "plans": [plan]})


def put_back() -> Scenario:
    return night("", 0, questions=40, backup_at=SOON, deaths=[Death(moment="answered", count=60)])


def full(**more: Any) -> Scenario:
    return dataclasses.replace(edited("plans.one", "weight", 2.0, **more), full=[(SOON - 0.1, 30.0)])


def hopeless() -> Scenario:
    made = night("", 0, questions=20)
    habits = dataclasses.replace(made.behaviour["ada"], correct=0.2)
    made = dataclasses.replace(made, behaviour={"ada": habits})
    return with_plan(made, rationales=6, stop_after_wrong=2)


CHANGES: list[tuple[str, Callable[[], Scenario], str]] = [
    ("price", lambda: edited("teachers.ada", "usd_per_million_output", 20.0), ""),
    ("model", lambda: edited("teachers.ada", "model", "other"), ""),
    (
        "temperature",
        lambda: edited("plans.one", "temperature", 0.0, signal=False, deaths=[Death(seconds=1.0)]),
        "",
    ),
    (
        "killed",
        lambda: edited("plans.one", "max_tokens", 48, deaths=[Death(moment="reload", count=5)]),
        KILLED_RELOAD,
    ),
    ("put back", put_back, PUT_BACK),
    ("full", full, FULL),
    ("full reload", full, FULL_RELOAD),
    ("hopeless", hopeless, ""),
]


@pytest.mark.parametrize(
    ("name", "made", "seen"), CHANGES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_change_loses_nothing_and_mixes_nothing(
    name: str, made: Callable[[], Scenario], seen: str, tmp_path: Path
) -> None:
    scenario = made()
    simulation, told = lived(tmp_path, scenario)
    assert told.stored and told.billed - told.stored <= told.unknown + len(simulation.history.forgotten)
    assert all(
        told.seen[f"{each.what} {'by SIGHUP' if each.signal else 'before a start'}"]
        for each in scenario.edits
    )
    assert not seen or told.seen[seen]


Break = Callable[[pytest.MonkeyPatch], None]


def books_old_prices(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TokenAccounting, "configure", lambda self, config: None)


def keeps_the_client(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RequestTransport, "connect", lambda self, client, url: None)


def forgets_the_temperature(patch: pytest.MonkeyPatch) -> None:
    whole = served_runs.plan_fingerprint
    patch.setattr(
        served_runs,
        "plan_fingerprint",
        lambda plan, *args, **kwargs: whole(plan.model_copy(update={"temperature": 0.5}), *args, **kwargs),
    )


def keeps_the_cap(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Budget, "cap_plan", lambda self, plan, cap: None)


def numbers_its_requests(patch: pytest.MonkeyPatch) -> None:
    class Numbers:
        at = 0

        def token_hex(self, _: int) -> str:
            self.at += 1
            return f"{self.at:x}"

    whole = Simulation._life

    def life(self: Simulation, death: Death | None) -> bool:
        patch.setattr(claims, "secrets", Numbers())  # anew in each life, as of what is in the database
        return whole(self, death)

    patch.setattr(Simulation, "_life", life)


def gives_up_on_a_full_disk(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(writer, "_passing", lambda error: False)


def asks_the_hopeless(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(resampling, "_MISSING", resampling._MISSING.replace("stop_after_wrong", "no_such_setting"))


@pytest.mark.parametrize(
    ("broken", "made", "told"),
    [
        (books_old_prices, CHANGES[0][1], "booked is"),
        (keeps_the_client, CHANGES[1][1], "was asked for a plan of"),
        (forgets_the_temperature, CHANGES[2][1], "one fingerprint, asked as"),
        (keeps_the_cap, lambda: edited("plans.one", "budget_usd", 0.0008), "over its budget"),
        (numbers_its_requests, put_back, "request id"),
        (gives_up_on_a_full_disk, full, "full"),
        (asks_the_hopeless, hopeless, "all wrong"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_daemon_that_handles_a_change_wrongly_is_found_out(
    broken: Break,
    made: Callable[[], Scenario],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken(monkeypatch)
    with pytest.raises((Exception, BaseExceptionGroup)) as caught:
        lived(tmp_path, made())
    assert told in str(cause(caught.value))
