from __future__ import annotations

from pathlib import Path

from daemon.catalog.served_runs import ServedRuns
from engine.config import Config, load_config
from state.enums import RunState
from state.runs import StoredRun
from tests.engine.config.test_served import BASE

DONE, QUEUED, FAILED = RunState.DONE, RunState.QUEUED, RunState.FAILED


def run(number: int, state: RunState = DONE, fingerprint: str = "f", trigger: str = "complete") -> StoredRun:
    return StoredRun(
        id=number,
        name="small",
        scope="t",
        trigger=trigger,
        fingerprint=fingerprint,
        state=state,
        rows=1,
        spec="{}",
        digest=f"d{number}",
    )


def asked(config: Config, *runs: StoredRun, begun: int | None = None) -> tuple[int | None, str]:
    plan = config.plans[1]
    served = ServedRuns(config, runs, {} if begun is None else {("own", "t", "train"): begun})
    found = served.of(plan, "t")
    return found.id if found else None, served.waits_for(plan, "t")


def test_a_plan_begins_with_the_newest_run_and_stays_with_it(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(BASE)
    config = load_config(path)
    first, own = config.plans
    none = "student small: it has no finished run on t"
    coming = "student small: run 2 on t has not ended"
    assert ServedRuns(config).of(first, "t") is None and ServedRuns(config).waits_for(first, "t") == ""
    assert asked(config) == (None, none)
    assert asked(config, run(1, FAILED)) == (None, none)
    assert asked(config, run(1), run(2, QUEUED)) == (None, coming), "a newer one is on its way"
    assert asked(config, run(1, trigger="200")) == (None, none), "it is trained on everything in the end"
    assert asked(config, run(1), run(2)) == (2, "")
    # It has begun.
    assert asked(config, run(1), run(2), begun=1) == (1, ""), "the same settings"
    assert asked(config, run(1), run(2, QUEUED, "g"), begun=1) == (1, "")
    assert asked(config, run(1), run(2, DONE, "g"), begun=1) == (2, ""), (
        "other settings: the plan begins anew"
    )
    assert asked(config, run(1, QUEUED), begun=1) == (1, ""), "it is evaluated again"
    assert asked(config, run(1, FAILED), run(2), begun=1) == (2, "")
    # The run is part of the fingerprint, and so is nothing else.
    me, other = config.teachers["me"], config.teachers["api"]
    prints = {number: ServedRuns(config, [run(number)]).fingerprint(own, "t", {})([me]) for number in (1, 2)}
    assert len({*prints.values(), ServedRuns(config).fingerprint(own, "t", {})([me])}) == 3
    same = {ServedRuns(config, runs).fingerprint(first, "t", {})([other]) for runs in ((), (run(1),))}
    assert len(same) == 1
