"""Several rationales a request, with real processes and a teacher server that keeps its own ledger."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.daemon.ledgers import check_promise
from tests.daemon.site import configure, coterie, count, daemon, query, run_to_end, teacher, wait_until
from tests.daemon.test_reload import all_stored, hup

FAST = ("--latency-ms", "2")


def books(folder: Path) -> tuple[int, int]:
    (row,) = query(folder, "SELECT sum(prompt_tokens), sum(completion_tokens) FROM attempt")
    return row


def test_prompts_are_paid_once_and_the_books_are_the_teacher_s(tmp_path: Path) -> None:
    with teacher(tmp_path, *FAST) as school:
        configure(tmp_path, school.url, train=12, rationales=6, plan="per_request = 4\nlogprobs = 2")
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        told = check_promise(tmp_path, school.ledger())
        ledger = school.ledger()
    first = [entry for entry in ledger if entry["choices"] > 1]
    assert sorted({entry["choices"] for entry in first}) == [2, 4]
    assert len(first) == 12 * 2, "six rationales of a question are two requests"
    assert told["unknown"] == 0 and len(ledger) == 24 + 72 + 12  # first turns, second turns, the other plan's
    assert query(tmp_path, "SELECT stored FROM plan ORDER BY id") == [(72,), (6,)]
    assert books(tmp_path) == (
        sum(entry["prompt_tokens"] for entry in ledger),
        sum(entry["completion_tokens"] for entry in ledger),
    )
    status = json.loads(coterie(tmp_path, "status", "--json").stdout)
    assert status["spend"]["prompt_tokens"] == books(tmp_path)[0]
    assert query(tmp_path, "SELECT requests, answered FROM teacher") == [(len(ledger), len(ledger))]
    exported = coterie(tmp_path, "export", "samples", "--logprobs").stdout.splitlines()
    rows = [json.loads(line) for line in exported]
    assert len({row["rationale"] for row in rows if row["plan"] == "diverse"}) > 24, (
        "the choices are distinct"
    )
    for row in rows:
        asked = row["plan"] == "diverse"
        assert (row["logprobs"] is not None) == asked
        if asked:
            assert "".join(row["logprobs"]["tokens"]).strip() == row["rationale"]
            assert all(len(top) == 2 for top in row["logprobs"]["top"][:3])
            assert row["mean_logprob"] == pytest.approx(
                sum(row["logprobs"]["values"]) / len(row["logprobs"]["values"]), rel=1e-2
            )
    without = coterie(tmp_path, "export", "samples").stdout.splitlines()
    assert "logprobs" not in json.loads(without[0]) and "mean_logprob" in json.loads(without[0])
    parquet = tmp_path / "samples.parquet"
    done = coterie(tmp_path, "export", "samples", "--logprobs", "--format", "parquet", "-o", str(parquet))
    assert done.returncode == 0 and parquet.stat().st_size > 0, done.stderr


def test_kill_9_loses_no_choice_and_every_payment_is_explained(tmp_path: Path) -> None:
    faults = "500=0.05,reset=0.04,truncate=0.03,malformed=0.03"
    with teacher(tmp_path, "--latency-ms", "40", "--fault", faults) as school:
        configure(
            tmp_path, school.url, train=40, rationales=4, plan="per_request = 4", teacher="concurrency = 8"
        )
        for kills in (8, 60):
            with daemon(tmp_path, "--until-idle") as running:
                wait_until(
                    "some samples", lambda enough=kills: count(tmp_path, "attempt", "outcome = 'ok'") > enough
                )
                running.kill()
        code, output = run_to_end(tmp_path)
        told = check_promise(tmp_path, school.ledger())
    assert told["unknown"] > 0
    wanted, stored, failed = query(tmp_path, "SELECT sum(wanted), sum(stored), sum(failed) FROM plan")[0]
    assert code == (failed > 0), output
    assert stored + failed == wanted == 166
    uneven = query(
        tmp_path,
        "SELECT l.outcome, a.outcome FROM attempt a JOIN attempt l ON l.id = a.leader_id"
        " WHERE a.outcome <> l.outcome AND NOT (l.outcome = 'ok' AND a.outcome = 'released')",
    )
    assert uneven == []


def test_the_budget_holds_with_groups(tmp_path: Path) -> None:
    with teacher(tmp_path, *FAST) as school:
        configure(tmp_path, school.url, budget=0.004, rationales=8, plan="per_request = 8")
        code, output = run_to_end(tmp_path)
        assert code == 1 and "budget_usd) is used up" in output.splitlines()[-1]
        check_promise(tmp_path, school.ledger())
    spent = query(tmp_path, "SELECT sum(spent_micros + reserved_micros) FROM teacher")[0][0]
    assert 2000 < spent <= 4000, spent


def test_stop_strings_and_other_groups_later_ask_only_for_what_is_missing(tmp_path: Path) -> None:
    with teacher(tmp_path, *FAST) as school:
        configure(tmp_path, school.url, rationales=2, plan='stop = ["."]')
        assert run_to_end(tmp_path)[0] == 0
        before = len(school.ledger())
        configure(tmp_path, school.url, rationales=6, plan='stop = ["."]\nper_request = 6')
        code, output = run_to_end(tmp_path)
        assert code == 0 and "starts over" not in output
        later = school.ledger()[before:]
    assert sum(entry["choices"] == 4 for entry in later) == 30
    assert len(later) == 30 + 120, "four more of each question in one request, then their second turns"
    assert query(tmp_path, "SELECT stored FROM plan WHERE name = 'diverse'") == [(180,)]
    (longest,) = query(tmp_path, "SELECT max(instr(rationale, '.')) FROM sample WHERE split = 'train'")[0]
    assert longest == 0, "a rationale goes on behind its stop string"


def test_a_plan_that_is_renamed_and_asks_in_other_groups_goes_on_and_pays_nothing_twice(
    tmp_path: Path,
) -> None:
    with teacher(tmp_path, "--latency-ms", "40") as school:
        given = {"train": 14, "rationales": 6, "teacher": "concurrency = 4"}
        configure(tmp_path, school.url, plan="per_request = 3", **given)
        with daemon(tmp_path) as running:
            wait_until("it samples", lambda: count(tmp_path, "attempt", "outcome = 'ok'") > 12)
            text = (tmp_path / "config.toml").read_text()
            text = text.replace('"diverse"', '"renamed"').replace("per_request = 3", "per_request = 2")
            (tmp_path / "config.toml").write_text(text)
            hup(running)
            wait_until("all is stored", lambda: all_stored(tmp_path))
            running.terminate()
            assert running.wait() == 130, running.output()
        told = check_promise(tmp_path, school.ledger())
        ledger = school.ledger()
    assert told["unknown"] == 0
    assert query(tmp_path, "SELECT stored FROM plan WHERE name = 'renamed'") == [(84,)]
    assert sum(entry["choices"] for entry in ledger) == 2 * (84 + 6), (
        "every rationale and answer was made once"
    )
    assert {entry["choices"] for entry in ledger} >= {1, 2, 3}
    assert query(tmp_path, "SELECT sum(reserved_micros) FROM plan") == [(0,)]
