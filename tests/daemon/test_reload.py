"""SIGHUP: the configuration is read again by a daemon at work."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from tests.daemon.ledgers import check_promise
from tests.daemon.site import (
    ENV,
    Daemon,
    configure,
    coterie,
    count,
    daemon,
    query,
    run_to_end,
    teacher,
    wait_until,
)
from tests.faults.fault_server import Behaviour, body, fault_server, says


def events(folder: Path, kind: str) -> list[str]:
    return [text for (text,) in query(folder, "SELECT message FROM event WHERE kind = ? ORDER BY id", kind)]


def hup(running: Daemon, kind: str = "ConfigReloaded") -> str:
    """Sends SIGHUP; the event that answers."""
    before = len(events(running.folder, kind))
    running.process.send_signal(signal.SIGHUP)
    wait_until(kind, lambda: len(events(running.folder, kind)) > before)
    return events(running.folder, kind)[-1]


def config_in_force(folder: Path) -> dict[str, Any]:
    found = query(folder, "SELECT config FROM boot ORDER BY id DESC LIMIT 1")[0][0]
    return dict(json.loads(found))


def all_stored(folder: Path) -> bool:
    rows = query(folder, "SELECT wanted, stored + failed FROM plan WHERE active = 1")
    return all(wanted == ended for wanted, ended in rows)


def append(folder: Path, text: str) -> None:
    with (folder / "config.toml").open("a") as file:
        file.write(text)


def test_budget_limits_plans_tasks_and_students_take_effect(tmp_path: Path) -> None:
    with teacher(tmp_path, "--latency-ms", "20") as school:
        configure(tmp_path, school.url, budget=0.002, teacher="concurrency = 2")
        with daemon(tmp_path) as running:
            wait_until("the budget is used up", lambda: events(tmp_path, "BudgetReached"))
            assert not all_stored(tmp_path)
            configure(tmp_path, school.url, budget=5.0, teacher="concurrency = 40", rationales=3)
            append(
                tmp_path,
                '[tasks.letters]\nsource = "builtin:last_letter_concatenation"\nanswer = "text"\n'
                'train = 20\ndev = 2\ntest = 3\n[[plans]]\nname = "late"\ntasks = ["letters"]\n'
                'strategy = "zero-shot-cot-chat"\n',
            )
            said = hup(running)
            for what in (
                "daemon.budget_usd",
                "teachers.school.concurrency",
                "tasks.letters (new)",
                "plans.late",
            ):
                assert what in said, said
            assert config_in_force(tmp_path)["daemon"]["budget_usd"] == 5.0
            wait_until("all is stored", lambda: all_stored(tmp_path))
            names = "SELECT name, wanted FROM plan WHERE active = 1 AND split = 'train' ORDER BY id"
            assert query(tmp_path, names) == [("diverse", 90), ("diverse", 60), ("late", 20)]

            def shown() -> tuple[float, int]:  # of the last pulse, which is up to a second old
                status = json.loads(coterie(tmp_path, "status", "--json").stdout)
                return status["spend"]["cap_usd"], status["teachers"][0]["cap"]

            wait_until("status shows the new cap", lambda: shown() == (5.0, 40))

            good = (tmp_path / "config.toml").read_text()
            (tmp_path / "config.toml").write_text(good.replace("budget_usd", "budget_used"))
            refused = hup(running, "ConfigRefused")
            assert "config.toml:3" in refused and "budget_usd" in refused and "stays in force" in refused
            assert config_in_force(tmp_path)["daemon"]["budget_usd"] == 5.0
            assert query(tmp_path, "SELECT level FROM event WHERE kind = 'ConfigRefused'") == [("error",)]

            # What cannot be taken over is named, and is as it was; what is gone is inactive.
            configure(tmp_path, school.url, rationales=3, train=60)
            text = (tmp_path / "config.toml").read_text()
            (tmp_path / "config.toml").write_text(
                '[state]\nurl = "sqlite:///other.db"\n'
                + text.replace("[daemon]", '[daemon]\nhttp = "127.0.0.1:1"')
            )
            hup(running, "RestartNeeded")
            (waits,) = events(tmp_path, "RestartNeeded")
            assert "[state] url" in waits and "[daemon] http" in waits and "tasks.coin_flip" in waits
            assert config_in_force(tmp_path)["tasks"]["coin_flip"]["train"] == 30
            assert not (tmp_path / "other.db").exists()
            assert query(tmp_path, "SELECT name, active FROM task ORDER BY id") == [
                ("coin_flip", 1),
                ("letters", 0),
            ]
            running.terminate()
            assert running.wait() == 130, running.output()
        check_promise(tmp_path, school.ledger())


def test_other_words_begin_a_plan_anew_and_a_wrong_template_is_refused(tmp_path: Path) -> None:
    with teacher(tmp_path, "--latency-ms", "2") as school:
        configure(tmp_path, school.url, train=8, rationales=1)
        plain = (tmp_path / "config.toml").read_text()
        named = plain.replace('name = "diverse"', 'name = "diverse"\nprompts = "mine"')
        words = "Question: {question} Let's think step by step."
        with daemon(tmp_path) as running:
            wait_until("all is stored", lambda: count(tmp_path, "sample", "state = 'stored'") == 14)
            (tmp_path / "config.toml").write_text(named + '[prompts.mine]\nprompt = "{question} {gold}"\n')
            assert "{gold} is not known here" in hup(running, "ConfigRefused")
            (tmp_path / "config.toml").write_text(named + f'[prompts.mine]\nprompt = "{words}"\n')
            assert "prompts.mine" in hup(running)
            wait_until("all is stored", lambda: count(tmp_path, "sample", "state = 'stored'") == 22)
    rows = query(tmp_path, "SELECT active, stored, settings FROM plan WHERE name = 'diverse' ORDER BY id")
    assert [row[:2] for row in rows] == [(0, 8), (1, 8)]
    assert json.loads(rows[1][2])["wording"]["prompt"] == words


def test_a_parked_teacher_wakes_with_another_key(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-wrong-key-456")
    key.chmod(0o600)
    with teacher(tmp_path, "--latency-ms", "2", "--key", "sk-right-key-123") as school:
        configure(tmp_path, school.url, teacher='api_key_file = "key"')
        with daemon(tmp_path) as running:
            wait_until("it is parked", lambda: events(tmp_path, "TeacherParked"))
            hup(running)  # with the same key it stays parked
            assert query(tmp_path, "SELECT state FROM teacher") == [("parked",)]
            asked = len(school.ledger())
            key.write_text("sk-right-key-123")
            assert "the key of school" in hup(running)
            wait_until("all is stored", lambda: all_stored(tmp_path))
            assert len(school.ledger()) > asked and query(tmp_path, "SELECT state FROM teacher") == [
                ("ready",)
            ]
            assert events(tmp_path, "TeacherResumed")
            configure(tmp_path, school.url, teacher='api_key_env = "NOT_THERE_YET"')
            assert "cannot change" in hup(running, "ConfigRefused")
            running.terminate()
            assert running.wait() == 130
        check_promise(tmp_path, school.ledger())
    key.unlink()
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"sk-right-key-123" not in path.read_bytes(), path


def test_other_prices_headers_and_address_hold_from_the_next_request_on(tmp_path: Path) -> None:
    """What was claimed ahead is reserved anew, so the account is right to the micro-dollar.

    The task's file is edited meanwhile: that waits for the next start.
    """
    answers = says(body())  # 40 prompt and 10 completion tokens
    seen: dict[str, list[tuple[str, str]]] = {"old": [], "new": []}
    another_value = threading.Event()

    def noted(name: str) -> Behaviour:
        async def answer(request, asked):  # type: ignore[no-untyped-def]
            seen[name].append((request.headers.get("X-Team", ""), request.headers.get("User-Agent", "")))
            await asyncio.sleep(0.02)
            if len(seen["new"]) > 5:
                await asyncio.to_thread(another_value.wait, 60)
            return await answers(request, asked)

        return answer

    rows = "".join(f'{{"question": "What is {n}?", "answer": "4", "split": "train"}}\n' for n in range(60))
    (tmp_path / "sums.jsonl").write_text(rows)
    text = (
        '[daemon]\nenv_file = "team.env"\n[teachers.a]\nbase_url = "{url}"\nmodel = "m"\nconcurrency = 2\nusd_per_million_input = {price}\n'
        'usd_per_million_output = {price}\nheaders = {{ X-Team = "{team}", User-Agent = "mine" }}\n'
        '[tasks.sums]\nsource = "sums.jsonl"\nanswer = "number"\ndev = 0\n'
        '[[plans]]\nname = "one"\nstrategy = "zero-shot-cot-chat"\nrationales = 1\n'
    )
    (tmp_path / "team.env").touch(mode=0o600)
    (tmp_path / "team.env").write_text("TEAM=blue\n")
    with fault_server() as served:
        served.does = {"old": noted("old"), "new": noted("new")}
        first = text.format(url=f"{served.url}/old/v1", price=10.0, team="red")
        (tmp_path / "config.toml").write_text(first)
        with daemon(tmp_path) as running:
            wait_until("it samples", lambda: len(seen["old"]) > 8)
            (tmp_path / "sums.jsonl").write_text(rows.replace("What", "How much"))
            second = text.format(url=f"{served.url}/new/v1", price=100.0, team="env:TEAM")
            (tmp_path / "config.toml").write_text(second)
            said = hup(running)
            for what in ("base_url", "usd_per_million_input", "headers.X-Team"):
                assert f"teachers.a.{what}" in said, said
            (waits,) = events(tmp_path, "RestartNeeded")
            assert waits == "takes effect at the next start: tasks.sums (other questions or answers)"
            asked = len(seen["old"])
            wait_until("requests wait", lambda: len(seen["new"]) > 5)
            (tmp_path / "team.env").write_text("TEAM=green\n")
            assert hup(running) == "configuration reloaded: the key of a"
            another_value.set()
            wait_until("all is stored", lambda: all_stored(tmp_path))
            running.terminate()
            assert running.wait() == 130, running.output()
        assert all(each.question.startswith("What is ") for each in served.asked)
    assert len(seen["old"]) == asked, "the old address was asked again"
    assert set(seen["old"]) == {("red", "mine")} and set(seen["new"]) == {("blue", "mine"), ("green", "mine")}
    assert len(seen["old"]) + len(seen["new"]) == 60
    costs = dict(query(tmp_path, "SELECT cost_micros, count(*) FROM attempt WHERE outcome = 'ok' GROUP BY 1"))
    assert set(costs) == {500, 5000} and costs[5000] >= len(seen["new"]), costs
    assert query(tmp_path, "SELECT spent_micros, reserved_micros FROM plan") == [
        (500 * costs[500] + 5000 * costs[5000], 0)
    ]


def test_teachers_and_plans_come_and_go_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with (
        teacher(tmp_path, "--latency-ms", "150") as school,
        teacher(tmp_path / "b", "--latency-ms", "5") as other,
    ):
        configure(tmp_path, school.url, train=60, teacher="concurrency = 8")
        second = f'[teachers.second]\nbase_url = "{other.url}"\nmodel = "practice-large"\nconcurrency = 8\n'
        with daemon(tmp_path) as running:
            wait_until("it samples", lambda: count(tmp_path, "sample", "state = 'stored'") > 8)
            append(tmp_path, second)
            hup(running)
            wait_until("the new one samples", lambda: len(other.ledger()) > 20)
            # The first teacher goes, and the plan gets another name.
            text = (tmp_path / "config.toml").read_text()
            start, end = text.index("[teachers.school]"), text.index("[tasks.")
            (tmp_path / "config.toml").write_text(
                (text[:start] + text[end:]).replace('"diverse"', '"renamed"')
            )
            hup(running)
            rows = query(tmp_path, "SELECT name, active FROM teacher ORDER BY id")
            assert rows == [("school", 0), ("second", 1)]
            quiet = len(school.ledger())
            wait_until("all is stored", lambda: all_stored(tmp_path))
            assert len(school.ledger()) <= quiet + 8, "a teacher that is gone was asked again"
            assert query(tmp_path, "SELECT name, stored FROM plan WHERE active = 1 ORDER BY name") == [
                ("renamed", 120),
                ("teacher", 6),
            ]
            assert count(tmp_path, "sample", "state = 'open'") == 0
            running.terminate()
            assert running.wait() == 130, running.output()
        told = check_promise(tmp_path, [*school.ledger(), *other.ledger()])
        assert told["unknown"] == 0 and told["stored"] == 126 * 2
        code, output = run_to_end(tmp_path)
        assert code == 0 and len(other.ledger()) + len(school.ledger()) == told["billed"], output


def test_leaving_a_teacher_out_asks_only_for_what_it_had(tmp_path: Path) -> None:
    """By SIGHUP in the middle, with requests of both in flight, and back again after a restart."""

    async def slowly(request, asked):  # type: ignore[no-untyped-def]
        await asyncio.sleep(0.05)
        return await says(body())(request, asked)

    rows = "".join(f'{{"question": "What is {n}?", "answer": "4", "split": "train"}}\n' for n in range(60))
    (tmp_path / "sums.jsonl").write_text(rows)
    teachers = {name: f'[teachers.{name}]\nmodel = "{name}"\nconcurrency = 4\n' for name in ("stays", "goes")}
    rest = (
        '[tasks.sums]\nsource = "sums.jsonl"\nanswer = "number"\ndev = 0\n'
        '[[plans]]\nname = "one"\nstrategy = "zero-shot-cot-chat"\nrationales = 2\n'
    )
    with fault_server() as served:
        served.does = {"stays": slowly, "goes": slowly}

        def write(*names: str) -> None:
            text = "".join(f'{teachers[name]}base_url = "{served.url}/{name}/v1"\n' for name in names)
            (tmp_path / "config.toml").write_text(text + rest)

        write("stays", "goes")
        with daemon(tmp_path) as running:
            wait_until("both answer", lambda: min(len(served.of(name)) for name in teachers) > 12)
            write("stays")
            hup(running)
            gone = len(served.of("goes"))
            wait_until("all is stored", lambda: all_stored(tmp_path))
            running.terminate()
            assert running.wait() == 130, running.output()
        assert len(served.of("goes")) == gone
        assert len(served.of("stays")) == 120  # each slot once, whether it was asked before or after
        assert query(tmp_path, "SELECT stored FROM plan WHERE active = 1") == [(120,)]
        assert "are kept" in events(tmp_path, "PlanContinued")[0]
        (left,) = query(tmp_path, "SELECT count(*) FROM sample WHERE state = 'open'")[0]
        write("stays", "goes")
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        # Back again: only samples that the other one had begun are still asked for.
        assert (len(served.of("goes")) - gone, len(served.of("stays"))) == (left, 120)
        assert "samples of stays are kept" in events(tmp_path, "PlanContinued")[-1]


def test_a_request_in_flight_goes_on_after_its_plans_teachers_changed_twice(tmp_path: Path) -> None:
    """A sample in the middle of its two requests follows its plan, however often the fingerprint changes meanwhile."""
    answers_now = threading.Event()

    async def held(request, asked):  # type: ignore[no-untyped-def]
        await asyncio.to_thread(answers_now.wait)
        return await says(body())(request, asked)

    rows = "".join(f'{{"question": "What is {n}?", "answer": "4", "split": "train"}}\n' for n in range(8))
    (tmp_path / "sums.jsonl").write_text(rows)
    rest = (
        '[tasks.sums]\nsource = "sums.jsonl"\nanswer = "number"\ndev = 0\n'
        '[[plans]]\nname = "one"\nstrategy = "zero-shot-cot"\nrationales = 1\n'
    )
    names = ("stays", "second", "third")
    with fault_server() as served:
        served.does = dict.fromkeys(names, held)

        def write(*names: str) -> None:
            text = "".join(
                f'[teachers.{name}]\nmodel = "{name}"\nconcurrency = 4\nbase_url = "{served.url}/{name}/v1"\n'
                for name in names
            )
            (tmp_path / "config.toml").write_text(text + rest)

        write("stays", "second")
        with daemon(tmp_path) as running:
            wait_until("both are asked", lambda: min(len(served.of(name)) for name in names[:2]) == 4)
            for reloads, others in enumerate(((), ("third",)), 1):
                write("stays", *others)
                hup(running)
                wait_until("it is reloaded", lambda n=reloads: len(events(tmp_path, "ConfigReloaded")) == n)  # type: ignore[misc]
            answers_now.set()
            wait_until(
                "all is stored", lambda: query(tmp_path, "SELECT stored FROM plan WHERE active = 1") == [(8,)]
            )


def test_a_plan_that_is_gone_sends_nothing_more_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    with teacher(tmp_path, "--latency-ms", "100") as school:
        configure(tmp_path, school.url, train=50, teacher="concurrency = 8")
        with daemon(tmp_path) as running:
            wait_until("it samples", lambda: count(tmp_path, "sample", "state = 'stored'") > 8)
            whole = (tmp_path / "config.toml").read_text()
            start, end = whole.index("[[plans]]"), whole.rindex("[[plans]]")
            (tmp_path / "config.toml").write_text(whole[:start] + whole[end:])
            hup(running)
            wait_until("the rest is stored", lambda: all_stored(tmp_path))
            wait_until("nothing is out", lambda: count(tmp_path, "attempt", "outcome IS NULL") == 0)
            asked = len(school.ledger())
            assert count(tmp_path, "sample", "state = 'open'") > 0
            since = "(SELECT max(at) FROM event WHERE kind = 'ConfigReloaded')"
            of_it = (
                "sample_id IN (SELECT s.id FROM sample s JOIN plan p ON p.id = s.plan_id WHERE p.active = 0)"
            )
            assert count(tmp_path, "attempt", f"claimed_at > {since} AND {of_it}") == 0, "it was asked on"
            assert query(tmp_path, "SELECT sum(reserved_micros) FROM plan") == [(0,)]
            (tmp_path / "config.toml").write_text(whole)
            hup(running)
            wait_until("all is stored", lambda: all_stored(tmp_path))
            assert len(school.ledger()) > asked
            running.terminate()
            assert running.wait() == 130, running.output()
        told = check_promise(tmp_path, school.ledger())
        assert told == {"billed": 212, "stored": 212, "unknown": 0}


def test_a_closed_terminal_ends_the_daemon_in_order(tmp_path: Path) -> None:
    with teacher(tmp_path, "--latency-ms", "50") as school:
        configure(tmp_path, school.url, train=300, teacher="concurrency = 4")
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "daemon", "run", "--no-tui"],
            cwd=tmp_path,
            env=ENV,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        wait_until("it samples", lambda: count(tmp_path, "sample", "state = 'stored'") > 3)
        os.close(master)  # without a controlling terminal the kernel sends no signal
        process.send_signal(signal.SIGHUP)
        process.wait(timeout=60)
        assert query(tmp_path, "SELECT exit_reason FROM boot") == [("signal SIGHUP",)]
        assert check_promise(tmp_path, school.ledger())["unknown"] == 0
