"""The daemon against a real teacher server over HTTP: sampling, faults, limits, money, keys."""

from __future__ import annotations

import json
import re
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.daemon.ledgers import check_promise
from tests.daemon.site import (
    Teacher,
    configure,
    coterie,
    count,
    daemon,
    query,
    run_to_end,
    teacher,
    wait_until,
)

FAST = ("--latency-ms", "2")


def test_every_sample_is_asked_for_once_and_stored(tmp_path: Path) -> None:
    with teacher(tmp_path, *FAST) as school:
        configure(tmp_path, school.url)
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        told = check_promise(tmp_path, school.ledger())
        before = len(school.ledger())
        code, output = run_to_end(tmp_path)
        assert code == 0 and len(school.ledger()) == before, "finished work was asked for again"
    assert told == {"billed": 132, "stored": 132, "unknown": 0}  # (30 * 2 + 6) samples of two turns
    assert query(tmp_path, "SELECT name, wanted, stored, accepted + rejected FROM plan ORDER BY id") == [
        ("diverse", 60, 60, 60),
        ("teacher", 6, 6, 6),
    ]
    assert count(tmp_path, "grade") == 66
    assert "all work is done" in output


def test_one_turn_with_the_chat_strategy_over_the_completions_dialect(tmp_path: Path) -> None:
    with teacher(tmp_path, *FAST) as school:
        configure(
            tmp_path, school.url, strategy="zero-shot-cot-chat", teacher='dialect = "openai-completions"'
        )
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        assert {entry["path"] for entry in school.ledger()} == {"/v1/completions"}
    assert query(tmp_path, "SELECT stored FROM plan ORDER BY id") == [(60,), (6,)]


def test_faults_cost_tries_but_no_answer(tmp_path: Path) -> None:
    faults = "500=0.06,429=0.05,reset=0.04,truncate=0.04,malformed=0.05"
    with teacher(tmp_path, *FAST, "--fault", faults) as school:
        configure(tmp_path, school.url, train=14)
        code, output = run_to_end(tmp_path)
        told = check_promise(tmp_path, school.ledger())
    wanted, stored, failed = query(tmp_path, "SELECT sum(wanted), sum(stored), sum(failed) FROM plan")[0]
    assert code == (failed > 0), output
    assert stored + failed == wanted and failed <= 3
    kinds = {kind for (kind,) in query(tmp_path, "SELECT DISTINCT outcome FROM attempt")}
    assert {"ok", "transient", "limited", "malformed", "unknown"} <= kinds
    assert told["unknown"] > 0
    # A refusal for a limit uses up no attempt of the sample.
    spent = query(tmp_path, "SELECT sum(attempts) FROM sample")[0][0]
    assert spent == count(tmp_path, "attempt", "outcome IN ('transient', 'malformed')")


def test_a_limit_of_the_server_is_kept(tmp_path: Path) -> None:
    flags = ("--requests-per-minute", "1800", "--burst-seconds", "1")
    with teacher(tmp_path, *FAST, *flags) as school:
        configure(tmp_path, school.url, train=60, rationales=1, teacher="requests_per_minute = 1800")
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        refused = sum(entry["status"] == 429 for entry in school.ledger())
        assert refused <= 2, f"{refused} refusals of {len(school.ledger())}"


def test_a_refused_key_parks_the_teacher_and_the_right_one_goes_on(tmp_path: Path) -> None:
    with teacher(tmp_path, *FAST, "--key", "sk-right-key-123") as school:
        configure(tmp_path, school.url, teacher='api_key_env = "SCHOOL_KEY"')
        code, output = run_to_end(tmp_path, env={"SCHOOL_KEY": "sk-wrong-key-456"})
        assert code == 1
        assert "school is parked" in output.splitlines()[-1] and "401" in output
        assert count(tmp_path, "sample", "state = 'failed'") == 0
        assert query(tmp_path, "SELECT state FROM teacher") == [("parked",)]
        code, output = run_to_end(tmp_path, env={"SCHOOL_KEY": "sk-right-key-123"})
        assert code == 0, output
        check_promise(tmp_path, school.ledger())
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert (
                b"sk-right-key-123" not in path.read_bytes() and b"sk-wrong-key-456" not in path.read_bytes()
            ), path


def test_the_budget_is_never_exceeded_and_a_higher_one_goes_on(tmp_path: Path) -> None:
    with teacher(tmp_path, *FAST) as school:
        configure(tmp_path, school.url, budget=0.003)
        code, output = run_to_end(tmp_path)
        assert code == 1 and "budget_usd) is used up" in output.splitlines()[-1]
        spent = query(tmp_path, "SELECT sum(spent_micros + reserved_micros) FROM teacher")[0][0]
        assert 1500 < spent <= 3000, spent
        configure(tmp_path, school.url, budget=5.0)
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        check_promise(tmp_path, school.ledger())
    assert query(tmp_path, "SELECT stored FROM plan ORDER BY id") == [(60,), (6,)]


def test_more_rationales_later_only_ask_for_what_is_missing(tmp_path: Path) -> None:
    with teacher(tmp_path, *FAST) as school:
        configure(tmp_path, school.url, rationales=1)
        assert run_to_end(tmp_path)[0] == 0
        before = len(school.ledger())
        configure(tmp_path, school.url, rationales=3)
        assert run_to_end(tmp_path)[0] == 0
        assert len(school.ledger()) - before == 30 * 2 * 2
    assert query(tmp_path, "SELECT rationales, stored FROM plan WHERE name = 'diverse'") == [(3, 90)]


def test_a_changed_parameter_is_a_new_plan_never_a_mixture(tmp_path: Path) -> None:
    with teacher(tmp_path, *FAST) as school:
        configure(tmp_path, school.url, rationales=1)
        assert run_to_end(tmp_path)[0] == 0
        configure(tmp_path, school.url, rationales=1, plan="max_tokens = 128")
        code, output = run_to_end(tmp_path)
        assert code == 0 and "plan diverse on coin_flip begins anew (max_tokens was" in output
    rows = query(tmp_path, "SELECT active, stored FROM plan WHERE name = 'diverse' ORDER BY id")
    assert rows == [(0, 30), (1, 30)]


@pytest.mark.parametrize("signal_twice", [False, True], ids=["drain", "at once"])
def test_a_signal_stops_in_order_and_the_same_command_goes_on(tmp_path: Path, signal_twice: bool) -> None:
    with teacher(tmp_path, "--latency-ms", "150") as school:
        configure(tmp_path, school.url, train=120, teacher="concurrency = 16")
        with daemon(tmp_path, "--until-idle") as running:
            wait_until("some samples", lambda: count(tmp_path, "sample", "state = 'stored'") > 10)
            running.terminate()
            if signal_twice:
                wait_until("the first signal was heard", lambda: "stopping" in running.output())
                running.terminate()
            assert running.wait() == 130, running.output()
        unknown = count(tmp_path, "attempt", "outcome = 'unknown'")
        assert count(tmp_path, "attempt", "outcome IS NULL") == 0
        assert unknown <= 16 if signal_twice else unknown == 0
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        check_promise(tmp_path, school.ledger())


def test_pause_resume_and_stop_are_answered(tmp_path: Path) -> None:
    with teacher(tmp_path, "--latency-ms", "60") as school:
        configure(tmp_path, school.url, train=400, teacher="concurrency = 4")
        with daemon(tmp_path) as running:
            wait_until("some samples", lambda: count(tmp_path, "sample", "state = 'stored'") > 3)
            paused = coterie(tmp_path, "pause", "--task", "coin_flip")
            assert (paused.returncode, paused.stdout) == (0, "task coin_flip paused\n")
            wait_until("nothing in flight", lambda: _in_flight(tmp_path) == 0)
            wait_until(  # an answer that arrived may still be on its way to the disk, or to the ledger
                "the last one is on both sides",
                lambda: len(school.ledger()) == count(tmp_path, "attempt", "outcome = 'ok'"),
            )
            asked = len(school.ledger())
            status = json.loads(coterie(tmp_path, "status", "--json").stdout)
            assert status["daemon"]["state"] == "paused"
            assert len(school.ledger()) == asked
            refused = coterie(tmp_path, "pause", "--teacher", "nobody")
            assert refused.returncode == 2 and "known: school" in refused.stderr
            assert coterie(tmp_path, "resume").returncode == 0
            wait_until("it goes on", lambda: len(school.ledger()) > asked)
            stopped = coterie(tmp_path, "stop")
            assert (stopped.returncode, stopped.stdout) == (0, "draining\n")
            assert running.wait() == 0, running.output()
        check_promise(tmp_path, school.ledger())


def _in_flight(folder: Path) -> int:
    return int(json.loads(coterie(folder, "status", "--json").stdout)["teachers"][0]["in_flight"])


def test_a_second_daemon_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    with teacher(tmp_path, "--latency-ms", "50") as school:
        configure(tmp_path, school.url, train=300)
        with daemon(tmp_path) as running:
            wait_until("it runs", lambda: count(tmp_path, "sample") > 0)
            second = coterie(tmp_path, "run", "--no-tui")
            assert second.returncode == 3
            assert f"pid {running.process.pid}" in second.stderr and "coterie tui" in second.stderr
            assert running.process.poll() is None


def test_a_teacher_with_several_addresses_goes_on_while_one_is_dead(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder in folders:
        folder.mkdir()
    with ExitStack() as stack:
        first, second = (stack.enter_context(teacher(each, "--latency-ms", "150")) for each in folders[:2])
        third = Teacher(folders[2], "--latency-ms", "150")
        urls = ", ".join(f'"{each.url}"' for each in (first, second, third))
        more = f"base_urls = [{urls}]\nconcurrency = 6"
        configure(tmp_path, first.url, teacher=more, train=120, strategy="zero-shot-cot-chat")
        config = tmp_path / "config.toml"
        config.write_text(re.sub(r"(?m)^base_url = .*\n", "", config.read_text()))
        assert coterie(tmp_path, "check", "--ping").stdout.count("POST http://") == 6, (
            "each is asked for each plan"
        )
        before = [len(each.ledger()) for each in (first, second, third)]
        with daemon(tmp_path, "--until-idle") as started:
            wait_until("all are asked", lambda: len(third.ledger()) > before[2] + 10)
            third.stop()
            seen = len(first.ledger())
            wait_until("the others go on", lambda: len(first.ledger()) > seen + 10)
            wait_until(
                "it is said", lambda: query(tmp_path, "SELECT 1 FROM event WHERE message LIKE '%rests (%'")
            )
            seen = len(third.ledger())
            port = third.url.rpartition(":")[2].partition("/")[0]
            started.process.send_signal(
                signal.SIGSTOP
            )  # or it could ask the others for all before this one is back
            back = stack.enter_context(teacher(folders[2], "--latency-ms", "150", "--port", port))
            started.process.send_signal(signal.SIGCONT)
            wait_until("it is asked again", lambda: len(back.ledger()) > seen + 5)
            assert started.wait() == 0, started.output()
        ledgers = [each.ledger()[told:] for each, told in zip((first, second, back), before, strict=True)]
        told = check_promise(tmp_path, [entry for each in ledgers for entry in each])
    assert query(tmp_path, "SELECT sum(wanted), sum(stored), sum(failed) FROM plan") == [(246, 246, 0)]
    assert told["stored"] == 252 and told["unknown"] <= 2, "at most those that were in flight when it died"
    assert min(map(len, ledgers)) > 30
    (said,), *_ = query(tmp_path, "SELECT message FROM event WHERE message LIKE '%rests (%' ORDER BY id")
    assert said.endswith("2 of its addresses go on") and query(
        tmp_path, "SELECT 1 FROM event WHERE message LIKE '%answers again'"
    )
