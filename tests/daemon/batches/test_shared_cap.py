"""A live teacher and one of batches under one budget, with kills and a budget that goes up and down: what is paid."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.daemon.ledgers import check_promise
from tests.daemon.site import configure, coterie, count, daemon, query, run_to_end, teacher, wait_until

BOTH = """
per_request = 3
teachers = ["school"]

[[plans]]
name = "files"
strategy = "zero-shot-cot-chat"
teachers = ["files"]
rationales = 2
"""
FILES = """
[teachers.files]
dialect = "openai-batch"
base_url = "{url}"
model = "practice-large"
usd_per_million_input = 0.15
usd_per_million_output = 0.60
batch_poll_seconds = 0.1
batch_wait_seconds = 0.2
batch_requests = 8
"""


def site(folder: Path, url: str, budget: float) -> None:
    text = "concurrency = 3\n" + FILES.format(url=url)
    configure(folder, url, budget=budget, train=10, rationales=6, teacher=text, plan=BOTH, dev=2, test=2)
    written = (
        (folder / "config.toml")
        .read_text()
        .replace('name = "teacher"\n', 'name = "teacher"\nteachers = ["school"]\n')
    )
    (folder / "config.toml").write_text(written)


def paid(folder: Path) -> int:
    rows = query(folder, "SELECT coalesce(sum(spent_micros + reserved_micros), 0) FROM teacher")
    return int(rows[0][0]) if rows else 0


def test_one_budget_holds_over_batches_groups_kills_and_other_caps(tmp_path: Path) -> None:
    with teacher(tmp_path, "--batch-seconds", "0.2", "--latency-ms", "30") as school:
        for cap in (2_500, 5_000):
            site(tmp_path, school.url, cap / 1e6)
            before = count(tmp_path, "attempt", "outcome = 'ok'")
            told = count(tmp_path, "event", "kind = 'BudgetReached'")
            with daemon(tmp_path) as running:

                def further(before: int = before, told: int = told, cap: int = cap) -> bool:
                    assert paid(tmp_path) <= cap, "the cap was passed"
                    if count(tmp_path, "event", "kind = 'BudgetReached'") > told:
                        return True
                    return count(tmp_path, "attempt", "outcome = 'ok'") > before + 8

                wait_until("more is answered, or all of the money is gone", further)
                running.kill()
                assert paid(tmp_path) <= cap
            check_promise(tmp_path, school.ledger())
        boots = count(tmp_path, "boot")
        with daemon(tmp_path) as running:  # lowered below what was spent, by a person in a hurry
            wait_until(
                "it runs", lambda: count(tmp_path, "pulse", f"state = 'running' AND boot_id > {boots}")
            )
            site(tmp_path, school.url, 0.0001)
            running.process.send_signal(signal.SIGHUP)
            wait_until("it is in force", lambda: count(tmp_path, "event", "kind = 'ConfigReloaded'"))
            out = "SELECT count(*) FROM batch WHERE state NOT IN ('completed', 'failed', 'expired', 'cancelled', 'dropped')"
            wait_until("what was out is in", lambda: query(tmp_path, out) == [(0,)])
            wait_until("nothing is in flight", lambda: not count(tmp_path, "attempt", "outcome IS NULL"))
            asked = len([entry for entry in school.ledger() if entry["billed"]])
            later = "SELECT count(*) FROM event WHERE kind = 'BatchCreated' AND id > (SELECT id FROM event WHERE kind = 'ConfigReloaded')"
            assert query(tmp_path, later)[0][0] <= 1, "a batch was sent past the cap"  # one was on the wire
            wait_until("it is told", lambda: "used up" in coterie(tmp_path, "status", "--json").stdout)
            running.terminate()
            running.wait()
        assert len([entry for entry in school.ledger() if entry["billed"]]) == asked
        site(tmp_path, school.url, 5.0)
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        told = check_promise(tmp_path, school.ledger())
        assert told["billed"] == told["stored"] + told["unknown"]
        assert query(tmp_path, "SELECT sum(reserved_micros) FROM teacher") == [(0,)]
        assert query(tmp_path, "SELECT sum(wanted) - sum(stored) - sum(failed) FROM plan") == [(0,)]
