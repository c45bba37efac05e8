"""Teachers by the Batch API, end to end: a real daemon, a real server, SIGKILL at every moment of a batch's life."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.daemon.dying import MOMENTS
from tests.daemon.ledgers import check_promise
from tests.daemon.site import (
    configure,
    coterie,
    count,
    daemon,
    query,
    run_to_end,
    teacher,
    wait_until,
)

FAST = ("--batch-seconds", "0.2")
BATCH = 'dialect = "openai-batch"\nbatch_poll_seconds = 0.1\nbatch_wait_seconds = 1'
SAMPLES = 20 * 2 + 6


def batched(folder: Path, url: str, teacher: str = "", **change: Any) -> None:
    configure(folder, url, **{"train": 20, "teacher": f"{BATCH}\n{teacher}", **change})


def paths(ledger: list[dict[str, Any]], path: str) -> int:
    return sum(entry["path"] == path for entry in ledger)


def states(folder: Path) -> list[str]:
    return [state for (state,) in query(folder, "SELECT state FROM batch ORDER BY id")]


def all_stored(folder: Path) -> bool:
    return query(folder, "SELECT sum(wanted), sum(stored) FROM plan") == [(SAMPLES, SAMPLES)]


def test_plans_are_sampled_in_two_batches_at_half_the_price(tmp_path: Path) -> None:
    with teacher(tmp_path, *FAST) as school:
        batched(tmp_path, school.url)
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        ledger = school.ledger()
        assert check_promise(tmp_path, ledger) == {"billed": 2 * SAMPLES, "stored": 2 * SAMPLES, "unknown": 0}
        assert paths(ledger, "/v1/files") == paths(ledger, "/v1/batches") == 2  # one a turn
        before = len(ledger)
        code, output = run_to_end(tmp_path)
        assert code == 0 and len(school.ledger()) == before, "finished work was sent again"
        files = query(tmp_path, "SELECT count(input_file_id) + count(output_file_id) FROM batch")[0][0]
        said = coterie(tmp_path, "prune").stdout.splitlines()[-1]
        assert (
            said
            == f"teacher school: {files} files of 2 finished batches at its provider; --batches deletes them"
        )
        assert "would be deleted" in coterie(tmp_path, "prune", "--batches", "--dry-run").stdout
        with urlopen(f"{school.url}/files") as listed:
            assert len(json.load(listed)["data"]) == files == 4
        pruned = coterie(tmp_path, "prune", "--batches")
        assert pruned.returncode == 0 and "4 files of 2 finished batches deleted" in pruned.stdout
        with urlopen(f"{school.url}/files") as listed:
            assert json.load(listed)["data"] == []
        assert coterie(tmp_path, "prune", "--batches").stdout == "no finished run has checkpoints to remove\n"
        code, output = run_to_end(tmp_path)
        assert code == 0, "nothing of it was needed"
    assert all_stored(tmp_path) and states(tmp_path) == ["completed", "completed"]
    prompt, completion, spent = query(
        tmp_path, "SELECT prompt_tokens, completion_tokens, spent_micros FROM teacher"
    )[0]
    assert abs(spent - (prompt * 0.15 + completion * 0.60) / 2) <= 2 * SAMPLES, (
        "to the nearest micro-dollar each"
    )
    told = [row[0] for row in query(tmp_path, "SELECT kind FROM event WHERE kind LIKE 'Batch%' ORDER BY id")]
    assert told == ["BatchCreated", "BatchCompleted"] * 2
    assert query(tmp_path, "SELECT reserved_micros FROM teacher UNION SELECT reserved_micros FROM plan") == [
        (0,)
    ]


def test_killed_at_every_moment_nothing_is_paid_twice(tmp_path: Path) -> None:
    with teacher(tmp_path, *FAST) as school:
        batched(tmp_path, school.url)
        for moment in MOMENTS:
            argv = (moment, "run", "--no-tui", "--until-idle")
            died = coterie(tmp_path, *argv, module="tests.daemon.dying", seconds=100)
            assert died.returncode == -9, (moment, died.stdout[-2000:], died.stderr[-2000:])
            told = check_promise(tmp_path, school.ledger())
            assert count(tmp_path, "attempt", "outcome = 'unknown'") == 0, moment
            assert told["billed"] <= 2 * SAMPLES, moment
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        ledger = school.ledger()
        assert check_promise(tmp_path, ledger) == {"billed": 2 * SAMPLES, "stored": 2 * SAMPLES, "unknown": 0}
        assert paths(ledger, "/v1/batches") == 2
    assert all_stored(tmp_path)
    assert count(tmp_path, "attempt", "outcome IS NULL") == 0
    assert states(tmp_path).count("completed") == 2
    assert query(tmp_path, "SELECT sum(unknown_attempts), sum(reserved_micros) FROM teacher") == [(0, 0)]


def test_a_creation_whose_answer_was_lost_is_found_again(tmp_path: Path) -> None:
    with teacher(tmp_path, *FAST, "--fault", "batch-lost=1") as school:
        batched(tmp_path, school.url)
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        assert check_promise(tmp_path, school.ledger())["billed"] == 2 * SAMPLES
        assert paths(school.ledger(), "/v1/batches") == 2, "a batch was made twice"
    assert all_stored(tmp_path) and count(tmp_path, "event", "kind = 'BatchFound'") == 2


@pytest.mark.parametrize(("fault", "state"), [("batch-expire", "expired"), ("batch-cancel", "cancelled")])
def test_what_was_answered_before_a_batch_was_cut_short_is_kept(
    tmp_path: Path, fault: str, state: str
) -> None:
    with teacher(tmp_path, *FAST, "--fault", f"{fault}=0.7", "--seed", "1") as school:
        batched(tmp_path, school.url)
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        assert check_promise(tmp_path, school.ledger()) == {
            "billed": 2 * SAMPLES,
            "stored": 2 * SAMPLES,
            "unknown": 0,
        }
    assert all_stored(tmp_path) and state in states(tmp_path)
    assert count(tmp_path, "event", "kind = 'BatchCutShort'") == states(tmp_path).count(state)
    assert query(tmp_path, "SELECT max(attempts), max(unknowns) FROM sample") == [(0, 0)], "no try is used up"


def test_rows_that_fail_are_sent_again_or_given_up_with_the_reason(tmp_path: Path) -> None:
    with teacher(tmp_path, *FAST, "--fault", "500=0.15,429=0.05,malformed=0.05,422=0.05") as school:
        batched(tmp_path, school.url)
        code, output = run_to_end(tmp_path)
        assert code == 1 and "were given up: `coterie retry`" in output, output
        check_promise(tmp_path, school.ledger())
        refused = sum(entry["status"] == 422 for entry in school.ledger())
    wanted, stored, failed = query(tmp_path, "SELECT sum(wanted), sum(stored), sum(failed) FROM plan")[0]
    assert (wanted, failed) == (SAMPLES, refused) and stored == wanted - refused and refused > 0
    reasons = {row[0] for row in query(tmp_path, "SELECT reason FROM sample WHERE state = 'failed'")}
    assert reasons == {"the request was rejected (422): Injected fault 422."}
    assert count(tmp_path, "attempt", "outcome = 'transient'") > 0
    assert count(tmp_path, "attempt", "outcome = 'malformed' AND cost_micros > 0") > 0


def test_answers_that_are_in_no_file_are_unknown_and_asked_again(tmp_path: Path) -> None:
    with teacher(tmp_path, *FAST, "--fault", "batch-hole=0.4", "--seed", "24") as school:
        batched(tmp_path, school.url)
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        told = check_promise(tmp_path, school.ledger())
    assert told["unknown"] >= 12 and told["stored"] == 2 * SAMPLES, "a payment that nothing explains"
    assert all_stored(tmp_path) and "12 without an answer" in output
    assert query(tmp_path, "SELECT unknown_attempts FROM teacher") == [(told["unknown"],)]


def test_a_batch_that_is_refused_for_money_parks_the_teacher(tmp_path: Path) -> None:
    with teacher(tmp_path, *FAST, "--fault", "batch-fail=1") as school:
        batched(tmp_path, school.url)
        code, output = run_to_end(tmp_path)
        assert code == 1 and "Billing hard limit has been reached" in output, output
        assert check_promise(tmp_path, school.ledger())["billed"] == 0
        assert paths(school.ledger(), "/v1/batches") == 1, "it was asked again without a person"
    assert query(tmp_path, "SELECT sum(spent_micros), sum(reserved_micros) FROM teacher") == [(0, 0)]
    assert states(tmp_path) == ["failed"] and count(tmp_path, "event", "kind = 'BatchFailed'") == 1
    with teacher(tmp_path, *FAST) as school:
        batched(tmp_path, school.url)
        code, output = run_to_end(tmp_path)
        assert code == 0, output
    assert all_stored(tmp_path)


def test_a_queue_without_room_makes_batches_smaller(tmp_path: Path) -> None:
    with teacher(tmp_path, *FAST, "--batch-queue-tokens", "3000") as school:
        batched(tmp_path, school.url)
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        assert check_promise(tmp_path, school.ledger())["billed"] == 2 * SAMPLES
    assert all_stored(tmp_path)
    largest = query(tmp_path, "SELECT max(requests) FROM batch WHERE state = 'completed'")[0][0]
    assert largest < SAMPLES and count(tmp_path, "event", "kind = 'BatchWaits'") >= 1
    waits = query(tmp_path, "SELECT message FROM event WHERE kind = 'BatchWaits'")[0][0]
    assert "Enqueued token limit reached" in waits


def test_limits_of_the_management_calls_are_waited_out(tmp_path: Path) -> None:
    with teacher(tmp_path, *FAST, "--fault", "batch-429=0.4", "--seed", "24") as school:
        batched(tmp_path, school.url, train=10)
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        assert check_promise(tmp_path, school.ledger())["billed"] == 2 * 26
        assert any(entry["status"] == 429 for entry in school.ledger())


def test_batches_are_as_large_as_configured_and_a_stop_leaves_them_out(tmp_path: Path) -> None:
    with teacher(tmp_path, "--batch-seconds", "4") as school:
        batched(tmp_path, school.url, teacher="batch_requests = 23", strategy="zero-shot-cot-chat", plan="")
        with daemon(tmp_path) as running:
            wait_until("two batches are out", lambda: states(tmp_path) == ["live", "live"])
            reason = ""

            def said() -> bool:
                nonlocal reason
                reason = json.loads(coterie(tmp_path, "status", "--json").stdout)["teachers"][0]["reason"]
                return "of 46 rows done" in reason

            wait_until("the status tells of them", said)
            assert reason.startswith("2 batches out, ")
            running.terminate()
            assert running.wait() == 130
        assert states(tmp_path) == ["live", "live"], "an end in order leaves batches out"
        assert count(tmp_path, "attempt", "outcome IS NULL") == SAMPLES
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        told = check_promise(tmp_path, school.ledger())
    assert all_stored(tmp_path) and told["unknown"] == 0
    sizes = [row[0] for row in query(tmp_path, "SELECT requests FROM batch ORDER BY id")]
    assert sizes[:2] == [23, 23] and sum(sizes) == told["billed"]


def test_a_pause_stops_new_batches_but_no_looks(tmp_path: Path) -> None:
    with teacher(tmp_path, "--batch-seconds", "4") as school:
        more = "batch_requests = 23\nconcurrency = 1"
        batched(tmp_path, school.url, teacher=more, strategy="zero-shot-cot-chat")
        with daemon(tmp_path, "--until-idle") as running:
            wait_until("a batch is out", lambda: states(tmp_path) == ["live"])
            assert coterie(tmp_path, "pause", "--teacher", "school").returncode == 0
            assert running.wait() == 1 and "teacher school is paused" in running.output()
        assert states(tmp_path) == ["completed"], "its answers were not fetched, or a further one was sent"
        assert paths(school.ledger(), "/v1/batches") == 1
        assert check_promise(tmp_path, school.ledger())["stored"] == 23


def test_answers_of_a_plan_that_is_gone_are_stored_and_count_when_it_is_back(tmp_path: Path) -> None:
    with teacher(tmp_path, "--batch-seconds", "1") as school:
        batched(tmp_path, school.url, strategy="zero-shot-cot-chat")
        with daemon(tmp_path) as running:
            wait_until("a batch is out", lambda: states(tmp_path) == ["live"])
            running.kill()
        text = (tmp_path / "config.toml").read_text()
        start, end = text.index('[[plans]]\nname = "diverse"'), text.index('[[plans]]\nname = "teacher"')
        (tmp_path / "config.toml").write_text(text[:start] + text[end:])
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        assert query(tmp_path, "SELECT stored FROM plan ORDER BY id") == [(40,), (6,)]
        (tmp_path / "config.toml").write_text(text)
        before = len(school.ledger())
        code, output = run_to_end(tmp_path)
        assert code == 0 and len(school.ledger()) == before, "what was paid for was asked again"
        assert check_promise(tmp_path, school.ledger())["unknown"] == 0


def test_the_same_plan_goes_on_in_batches_and_back(tmp_path: Path) -> None:
    with teacher(tmp_path, *FAST, "--latency-ms", "2") as school:
        configure(tmp_path, school.url, train=10)
        assert run_to_end(tmp_path)[0] == 0
        batched(tmp_path, school.url, train=20)
        assert run_to_end(tmp_path)[0] == 0
        ledger = school.ledger()
        assert sum(entry["billed"] for entry in ledger) == 2 * SAMPLES, (
            "a dialect's change made a plan begin anew"
        )
        check_promise(tmp_path, ledger)
    assert query(tmp_path, "SELECT count(*) FROM plan WHERE active = 1") == [(2,)] and all_stored(tmp_path)


def test_ping_lists_batches_and_pays_nothing(tmp_path: Path) -> None:
    with teacher(tmp_path, *FAST, "--key", "sk-right-0001") as school:
        batched(tmp_path, school.url, teacher='api_key_file = "key"')
        for key, code, words in (("sk-right-0001", 0, "batches can be listed"), ("sk-wrong", 1, "401")):
            (tmp_path / "key").write_text(key)
            (tmp_path / "key").chmod(0o600)
            done = coterie(tmp_path, "check", "--ping")
            assert done.returncode == code and words in done.stdout, done.stdout + done.stderr
        assert not any(entry["billed"] for entry in school.ledger())


def test_the_builtin_teacher_speaks_it_and_forgets_its_batches(tmp_path: Path) -> None:
    batched(tmp_path, "http://x/v1", strategy="zero-shot-cot-chat")
    text = (tmp_path / "config.toml").read_text().replace('base_url = "http://x/v1"', "builtin = true")
    (tmp_path / "config.toml").write_text(text)
    with daemon(tmp_path) as running:
        wait_until("a batch is out", lambda: "live" in states(tmp_path))
        running.kill()
    code, output = run_to_end(tmp_path)
    assert code == 0, output
    assert all_stored(tmp_path)


def test_a_refused_key_parks_and_its_batches_are_fetched_with_the_right_one(tmp_path: Path) -> None:
    with teacher(tmp_path, "--batch-seconds", "1", "--key", "sk-right-0001") as school:
        batched(tmp_path, school.url, teacher='api_key_file = "key"', strategy="zero-shot-cot-chat")
        key = tmp_path / "key"
        key.write_text("sk-right-0001")
        key.chmod(0o600)
        with daemon(tmp_path) as running:
            wait_until("a batch is out", lambda: states(tmp_path) == ["live"])
            running.kill()
        key.write_text("sk-wrong-0002")
        code, output = run_to_end(tmp_path)
        assert code == 1 and "cannot be looked at: the API key was rejected (401)" in output, output
        assert states(tmp_path) == ["live"] and count(tmp_path, "attempt", "outcome IS NULL") == SAMPLES
        key.write_text("sk-right-0001")
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        assert check_promise(tmp_path, school.ledger())["unknown"] == 0
    assert all_stored(tmp_path)
