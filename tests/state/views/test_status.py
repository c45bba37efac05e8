from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.strategies import STRATEGIES
from state.database import open_writer
from state.sqlite import Connection
from state.views.costs import usd_per_correct
from state.views.format import cost, count, duration, money, per_thousand, percent, short, status_line
from state.views.status import read_status, to_json
from state.views.status_text import format_status
from tests.state.world import World
from tests.tui.seeded import HOUR, MINUTE, NOW, PID, SECOND, seed
from tui.screens.run_columns import COLUMNS, RunRow


def here(pid: int) -> bool:
    return pid == PID


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Connection]:
    seed(tmp_path / "state.db")
    connection = open_writer(tmp_path / "state.db")
    yield connection
    connection.close()


def test_the_json_has_the_contracts_names_and_is_json(reader: Connection) -> None:
    found = json.loads(json.dumps(to_json(read_status(reader, NOW, here))))
    assert list(found["daemon"]) == ["state", "pid", "boot_id", "uptime_s", "loop_lag_ms"]
    assert list(found["spend"]) == [
        *("usd", "reserved_usd", "unknown_usd", "cap_usd"),
        *("prompt_tokens", "completion_tokens", "unknown_attempts"),
    ]
    assert list(found["plans"][0]) == [
        *("name", "task", "teacher", "split", "wanted", "in_flight", "stored", "accepted", "rejected"),
        *(
            "failed",
            "given_up",
            "usd",
            "reserved_usd",
            "unknown_usd",
            "usd_per_correct",
            "awaits",
            "labelled",
        ),
    ]
    assert list(found["teachers"][0]) == [
        *("name", "state", "in_flight", "cap", "requests_per_minute", "tokens_per_minute", "status_429"),
        *("retries", "p50_ms", "p95_ms", "reason", "usd", "reserved_usd", "unknown_usd"),
    ]
    assert list(found["runs"][0]) == [
        *("id", "student", "task", "state", "samples", "step", "steps", "loss", "tokens_per_second"),
        *("eta_s", "accuracy", "directory", "early", "test", "kind", "sources"),
        *("parameters", "bytes", "flops_per_question"),
    ]


def test_a_running_daemon(reader: Connection) -> None:
    status = read_status(reader, NOW, here)
    assert (status.daemon.state, status.daemon.pid, status.daemon.boot_id) == ("running", PID, 1)
    assert status.daemon.uptime_s == (2 * HOUR + 14 * MINUTE) / 1000
    assert status.daemon.loop_lag_ms == 3.2
    spend = status.spend
    assert (spend.usd, spend.reserved_usd, spend.unknown_usd) == pytest.approx((3.102, 0.02, 0.015))
    assert spend.used_usd == pytest.approx(3.137)
    for figure in ("usd", "reserved_usd", "unknown_usd"):
        parts = sum(getattr(teacher, figure) for teacher in status.teachers)
        assert parts == pytest.approx(getattr(spend, figure)), "the teachers say what the whole says"
    assert "spent $3.10 of $5.00, reserved $0.02, unknown $0.01; " in format_status(status)
    waits = {"own on coin": "student s: it has no finished run on coin"}
    waiting = replace(status, heartbeat=replace(status.heartbeat, waits=waits))
    assert "plan own on coin waits for student s: it has no finished run on coin" in format_status(waiting)
    assert status.spend.cap_usd == 5.0
    assert status.runs[0].flops_per_question is None, "of an older version"
    assert status.plans[0].in_flight == 3
    assert [run.id for run in status.active_runs] == [3]
    assert status.teachers[0].requests_per_minute == 1884
    assert not reader.in_transaction


@pytest.mark.parametrize(
    ("late", "exists", "state"), [(0, True, "running"), (5_000, True, "down"), (0, False, "down")]
)
def test_a_daemon_is_down_when_its_pulse_or_its_process_is_gone(
    reader: Connection, late: int, exists: bool, state: str
) -> None:
    status = read_status(reader, NOW + late, lambda pid: exists)
    assert status.daemon.state == state
    if state == "down":
        assert status.daemon.loop_lag_ms is None
        assert status.teachers[0].in_flight == 0  # the pulse is no longer true
        assert status.plans[0].in_flight == 0
        assert status.daemon.uptime_s == (2 * HOUR + 14 * MINUTE - SECOND) / 1000
        assert "coterie run" in status.notices[0]


def test_a_process_id_on_another_machine_says_nothing(writer: Connection) -> None:
    writer.execute("UPDATE boot SET host = 'elsewhere'")
    assert read_status(writer, NOW, lambda pid: False).daemon.state == "running"


def test_a_daemon_that_ended_is_stopped(writer: Connection) -> None:
    writer.execute("UPDATE boot SET ended_at = ?, exit_reason = 'idle'", (NOW,))
    status = read_status(writer, NOW + HOUR, lambda pid: False)
    assert status.daemon.state == "stopped"
    assert status.daemon.exit_reason == "idle"
    assert [notice.split(":")[0] for notice in status.notices] == [
        "teacher gpt is parked",
        "run 4 (fine-tune-cot on letters) failed",
    ]


def test_a_boot_without_a_pulse_is_starting_and_then_down(writer: Connection) -> None:
    writer.execute(
        "INSERT INTO boot (id, pid, pid_started, host, version, started_at, config)"
        " VALUES (2, ?, 1.0, 'elsewhere', '', ?, '{}')",
        (PID, NOW - SECOND),
    )
    assert read_status(writer, NOW, here).daemon.state == "starting"
    assert read_status(writer, NOW + 5 * SECOND, here).daemon.state == "down"


def test_an_empty_database(tmp_path: Path) -> None:
    connection = open_writer(tmp_path / "state.db")
    status = read_status(connection, NOW)
    connection.close()
    assert status.daemon.state == "stopped"
    assert status_line(status) == "stopped | $0.00"
    json.dumps(to_json(status))


def test_tasks_and_their_next_trigger(reader: Connection) -> None:
    tasks = {task.name: task for task in read_status(reader, NOW, here).tasks}
    coin = tasks["coin_flip"]
    assert coin.trigger is not None
    assert (coin.trigger.name, coin.trigger.have, coin.trigger.goal) == ("400", 145, 400)
    assert coin.eta_s == pytest.approx((400 - 145) / 30 * 60)
    assert coin.students == ("fine-tune-cot", "fine-tune")
    assert coin.best is not None and coin.teacher is not None
    assert (coin.best.accuracy, coin.best.n, coin.best.seed, coin.best.run) == (0.8, 20, 0, 1)
    assert (coin.teacher.accuracy, coin.teacher.n, coin.teacher.seed) == (0.85, 20, None)
    assert coin.run_id == 5  # queued
    assert tasks["gsm8k"].run_id == 3
    assert tasks["letters"].paused


def test_the_teacher_beside_students_is_the_best_one_that_reasons(writer: Connection) -> None:
    names = [name for _, name, *_ in writer.execute("PRAGMA table_info(plan)") if name != "id"]
    for strategy, accepted, rejected, failed in (
        ("zero-shot-cot", 90, 5, 5),
        ("zero-shot", 99, 1, 0),
        ("few-shot-cot", 88, 2, 10),
    ):
        new = {
            "recipe": strategy,
            "strategy": strategy,
            "settings": json.dumps({"facts": STRATEGIES[strategy].stored_facts}),
            "accepted": accepted,
            "rejected": rejected,
            "failed": failed,
        }
        writer.execute(
            f"INSERT INTO plan ({', '.join(names)}) SELECT {', '.join(f':{name}' if name in new else name for name in names)}"
            " FROM plan WHERE split = 'test' LIMIT 1",
            new,
        )
    coin = next(task for task in read_status(writer, NOW, here).tasks if task.name == "coin_flip")
    assert coin.teacher is not None and (coin.teacher.accuracy, coin.teacher.n) == (0.9, 100)


def test_the_best_run_is_that_of_dev_and_never_that_of_test(writer: Connection) -> None:
    """Run 1 has 80 % on test, run 2 55 %; dev decides, and without dev nothing does."""

    def best() -> int | None:
        [coin] = [task for task in read_status(writer, NOW, here).tasks if task.name == "coin_flip"]
        return coin.best.run if coin.best is not None else None

    writer.execute("UPDATE evaluation SET accuracy = 0.9 WHERE split = 'dev' AND run_id = 2 AND step = 900")
    writer.execute("UPDATE evaluation SET accuracy = 0.8 WHERE split = 'dev' AND run_id = 1 AND step = 900")
    writer.execute(
        "UPDATE evaluation SET accuracy = 1.0 WHERE split = 'dev' AND run_id = 1 AND step = 225"
    )  # not exported
    assert best() == 2
    writer.execute("DELETE FROM evaluation WHERE split = 'dev' AND run_id = 2")
    assert best() == 1
    writer.execute("DELETE FROM evaluation WHERE split = 'dev'")
    assert best() is None


def test_every_accuracy_has_its_interval_n_and_seed(writer: Connection) -> None:
    writer.execute("UPDATE run SET seed = 7 WHERE id = 1")
    status = read_status(writer, NOW, here)
    text = format_status(status)
    assert "80.0 (58.4–91.9), n = 20, seed 7" in text and "85.0 (64.0–94.8), n = 20\n" in text
    said = to_json(status)
    run = next(run for run in said["runs"] if run["id"] == 1)
    whole = {"accuracy": 0.8, "low": pytest.approx(0.584, abs=1e-3), "high": pytest.approx(0.919, abs=1e-3)}
    assert run["test"] == whole | {"n": 20, "seed": 7, "run": 1} and run["accuracy"] == 0.8
    coin = next(task for task in said["tasks"] if task["name"] == "coin_flip")
    assert coin["best"] == run["test"] and coin["best_accuracy"] == 0.8
    assert coin["teacher"]["n"] == 20 and coin["teacher"]["seed"] is None


def test_what_another_version_wrote_is_not_fatal(writer: Connection) -> None:
    writer.execute("UPDATE pulse SET data = '[1, 2'")
    writer.execute("UPDATE boot SET config = 'null'")
    status = read_status(writer, NOW, here)
    assert status.daemon.state == "running"
    assert status.spend.cap_usd is None


def test_the_plain_line_is_one_printable_line(reader: Connection) -> None:
    line = status_line(read_status(reader, NOW, here))
    assert line.isprintable()
    assert line.startswith(
        "running 2h14m | $3.10 of $5.00 | 31.4 req/s, 0.2 % 429s | coin_flip 145/400, 91 % correct"
    )
    assert "run 3 fine-tune-cot/gsm8k training 412/900 loss 0.810 ETA 6m10s" in line
    assert "teacher gpt is parked: key refused (401)" in line


def test_a_run_without_steps_shows_none(writer: Connection) -> None:
    writer.execute("UPDATE run SET step = 0, steps = 0 WHERE id = 3")
    status = read_status(writer, NOW, here)
    assert "run 3 fine-tune-cot/gsm8k training" in status_line(status)
    assert "0/0" not in status_line(status) + format_status(status)


def test_words_for_numbers() -> None:
    assert [duration(s) for s in (None, 0.4, 59.6, 365, 8040, 273_600)] == [
        *("–", "0s", "1m00s", "6m05s", "2h14m", "3d04h")
    ]
    assert (count(3812), short(812), short(3812), short(1_250_000), short(31.44)) == (
        *("3,812", "812", "3.8k", "1.2M", "31.4"),
    )
    assert (percent(None), percent(0.613), percent(0.002, 1)) == ("–", "61 %", "0.2 %")
    assert (money(3.117, 5.0), money(0.0012, None), money(0, None)) == ("$3.12 of $5.00", "$0.0012", "$0.00")


def test_what_a_correct_sample_cost(reader: Connection) -> None:
    status = read_status(reader, NOW, here)
    (first, *_) = status.plans
    spent, accepted = reader.execute(
        "SELECT spent_micros, accepted FROM plan WHERE id = ?", (first.id,)
    ).fetchone()
    assert spent and accepted
    assert first.usd == spent / 1e6
    assert first.usd_per_correct == pytest.approx(spent / 1e6 / accepted)
    assert to_json(status)["plans"][0]["usd_per_correct"] == first.usd_per_correct
    text = format_status(status)
    assert "$ per 1,000 correct" in text
    assert per_thousand(first.usd_per_correct) in text
    assert replace(first, accepted=0).usd_per_correct is None


def test_plans_that_share_their_samples_cost_as_much_a_correct_one_whoever_paid(world: World) -> None:
    many = world.plan("many", rationales=2)
    world.plan("few", rationales=1)
    world.store(world.claim(many, 3))
    world.store(world.claim(many, 3), correct=False)
    status = read_status(world.connection, NOW, here)
    wide, narrow = status.plans
    assert (wide.accepted, narrow.accepted, narrow.usd) == (3, 3, 0.0)
    assert wide.usd_per_correct == narrow.usd_per_correct == pytest.approx(6 * 7e-6 / 3)
    assert usd_per_correct(status.plans) == pytest.approx(6 * 7e-6 / 3)  # three, not six
    assert usd_per_correct([]) is None
    (task,) = status.tasks
    assert (task.wanted, task.stored, task.accepted, task.rejected) == (6, 6, 3, 3)  # not nine


@pytest.mark.parametrize(
    ("usd", "said"),
    [(None, "–"), (0.0, "$0"), (12.345, "$12.35"), (0.0123456, "$0.0123"), (0.00000412, "$0.00000412")],
)
def test_a_cost_is_shown_in_three_figures(usd, said) -> None:
    assert cost(usd) == said


@pytest.mark.parametrize(
    ("usd", "said"),
    [
        (None, "–"),
        (0.0, "$0"),
        (2.5, "$2,500.00"),
        (0.0069, "$6.90"),
        (0.0000953, "$0.095"),
        (4e-8, "$0.0000400"),
    ],
)
def test_the_cost_of_a_thousand(usd, said) -> None:
    assert per_thousand(usd) == said


def test_the_status_text_says_how_the_daemon_is(writer: Connection) -> None:
    def head(now: int, alive: bool) -> list[str]:
        return format_status(read_status(writer, now, lambda pid: alive)).splitlines()[:3]

    assert head(NOW, True)[0].startswith(f"daemon running for 2h14m (pid {PID}, loop lag ")
    assert head(NOW, False)[0::2] == [
        "daemon down",
        "! the daemon died; `coterie run` resumes where it stopped",
    ]
    assert head(NOW, False)[1].endswith("; 1 request possibly billed without an answer")
    writer.execute("UPDATE boot SET ended_at = ?, exit_reason = 'nothing is left to do'", (NOW - MINUTE,))
    assert head(NOW, False)[0] == "daemon stopped 1m00s ago: nothing is left to do"


def test_triggers_are_shown_with_what_they_wait_for(writer: Connection) -> None:
    config = json.loads(writer.execute("SELECT config FROM boot").fetchone()[0])
    config["students"][0]["train_at"] = [100, "every 6h"]
    config["students"][1]["tasks"] = ["*"]
    config["students"][1]["scope"] = "joint"
    writer.execute("UPDATE boot SET config = ?", (json.dumps(config),))
    writer.execute("UPDATE plan SET created_at = ?", (NOW - 3 * HOUR - 50 * MINUTE,))
    writer.execute("UPDATE run SET student = 'another' WHERE scope <> 'coin_flip'")
    writer.execute("UPDATE run SET created_at = ?, state = 'done'", (NOW - 7 * HOUR,))
    status = read_status(writer, NOW, here)
    found = {task["name"]: task for task in to_json(status)["tasks"]}
    by_name = {each["name"]: each for each in found["gsm8k"]["triggers"]}
    assert by_name["every 6h"] == {
        **{"student": "fine-tune-cot", "name": "every 6h", "have": 13_800, "goal": 21_600, "unit": "seconds"},
        **{"reached": False, "text": "every 6h: next in 2h10m"},
    }
    assert by_name["100"]["text"] == f"100: {by_name['100']['have']}/100"
    assert {each["name"]: each["text"] for each in found["coin_flip"]["triggers"]}[
        "every 6h"
    ] == "every 6h: due"
    assert found["gsm8k"]["next_trigger"] == "every 6h" and found["gsm8k"]["eta_s"] == 7_800
    assert "gsm8k every 6h: next in 2h10m" in status_line(status)
    assert "ETA 2h10" not in status_line(status)
    rows = [line.split() for line in format_status(status).splitlines()]
    assert ["fine-tune-cot", "gsm8k", "every", "6h", "next", "in", "2h10m"] in rows
    assert sum(row[:3] == ["fine-tune", "joint", "complete"] for row in rows) == 1


def test_a_run_says_what_its_student_takes(writer: Connection) -> None:
    writer.execute("UPDATE run SET parameters = 7, bytes = 28 WHERE id = 1")
    writer.execute("UPDATE evaluation SET flops = 3e6 WHERE run_id = 1 AND split = 'test'")
    run = next(each for each in read_status(writer, NOW, here).runs if each.id == 1)
    assert (run.parameters, run.bytes, run.flops_per_question) == (7, 28, 3e6)
    cells = {column.title: str(column.cell(RunRow(run, False))) for column in COLUMNS}
    assert (cells["MB"], cells["MFLOPs"]) == ("0.0", "3.0")
