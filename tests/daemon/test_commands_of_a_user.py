"""What a user may type wrong: one clear message and the documented exit code, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.daemon.site import configure, coterie

CASES = [
    (["nonsense"], 2, "unknown command 'nonsense': `coterie` lists all commands"),
    (["run", "-c", "nope.toml"], 2, "nope.toml: no such file"),
    (["run", "-c", "typo.toml"], 2, 'typo.toml:2: daemon.budgetusd: unknown key; did you mean "budget_usd"?'),
    (["run", "-c", "task.toml"], 2, 'did you mean "coin_flip"?'),
    (["run", "-c", "hub.toml"], 2, "no such folder"),
    (["run", "-c", "key.toml"], 2, "NO_SUCH_KEY is not set"),
    (
        ["run", "-c", "format.toml"],
        2,
        'tasks.sums.answer: expected yes_no for builtin:coin_flip (got "math")',
    ),
    (
        ["run", "-c", "dialect.toml"],
        2,
        'batch_requests is only for dialect = "openai-batch": remove it',
    ),
    (["run", "-c", "line.toml"], 2, "bad.jsonl:2: "),
    (["status"], 2, "no state database yet. `coterie run` creates it"),
    (["report"], 2, "no state database yet"),
    (["regrade", "--apply"], 2, "no state database yet"),
    (["regrade", "--examples", "-1"], 2, "is not a whole number"),
    (["experiment"], 2, "no state database yet"),
    (["grade", "nope.jsonl"], 2, "nope.jsonl: cannot be read"),
    (["grade", "bad.jsonl"], 2, "bad.jsonl:1: completion: required"),
    (["export", "samples", "--format", "parquet"], 2, "parquet needs a file"),
    (["export", "predictions", "--format", "openai-chat"], 2, "use it with samples or dataset"),
    (["export", "predictions", "--format", "think"], 2, "use it with samples or dataset"),
    (["export", "dataset", "--card"], 2, "--card writes a card next to a training set"),
    (["train", "coin_flop"], 2, "has no task 'coin_flop'; did you mean 'coin_flip'?"),
    (["pause", "--teacher", "x"], 2, "has no teacher 'x'; known: school"),
    (["teacher", "--fault", "5000=0.1"], 2, "did you mean '500'?"),
    (["teacher", "--replay", "nope.jsonl"], 2, "nope.jsonl"),
    (["tui", "--db", "redis://x", "--plain"], 2, "expected sqlite:///PATH"),
]
TASK = '[tasks.coin]\nsource = "{source}"\nanswer = "{answer}"\n'
TEACHER = '[teachers.a]\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "m"\n'
PLAN = '[[plans]]\nname = "p"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    configure(tmp_path, "http://127.0.0.1:9/v1")
    files = {
        "typo.toml": "[daemon]\nbudgetusd = 3\n",
        "task.toml": TASK.format(source="builtin:coin_flop", answer="yes_no"),
        "hub.toml": TASK.format(source="hf:./nowhere", answer="number"),
        "key.toml": TEACHER + 'api_key_env = "NO_SUCH_KEY"\n',
        "format.toml": TASK.format(source="builtin:coin_flip", answer="math").replace("coin]", "sums]"),
        "dialect.toml": TEACHER + "batch_requests = 100\n",
        "line.toml": TASK.format(source="bad.jsonl", answer="number"),
        "bad.jsonl": '{"question": "1 + 1?", "answer": "2"}\n{"question": \n',
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_mistake_gets_one_message_and_its_exit_code(folder: Path) -> None:
    for argv, code, message in CASES:
        done = coterie(folder, *argv, *(["--no-tui"] if argv[0] == "run" else []))
        said = done.stdout + done.stderr
        assert (done.returncode, "Traceback" in said) == (code, False), (argv, said)
        assert message in said, (argv, said)


def test_a_damaged_or_foreign_database_is_refused_untouched(folder: Path) -> None:
    (folder / "state.db").write_bytes(b"this is no database" * 400)
    before = (folder / "state.db").read_bytes()
    for argv in (["run", "--no-tui"], ["status"], ["export", "samples"]):
        done = coterie(folder, *argv)
        assert done.returncode == 2 and "is damaged or not a SQLite database" in done.stderr, done.stderr
    assert (folder / "state.db").read_bytes() == before


def test_commands_wait_for_a_daemon_that_is_not_there(folder: Path) -> None:
    (folder / "config.toml").write_text("")  # nothing to do: the daemon makes its database and ends
    assert coterie(folder, "run", "--until-idle", "--no-tui").returncode == 0
    assert coterie(folder, "stop").stdout == "no daemon is running\n"
    assert "queued; applied when a daemon starts" in coterie(folder, "pause").stdout


def test_grade_prints_a_verdict_for_each_row(tmp_path: Path) -> None:
    rows = [
        {"completion": "180 * 7 = 1260", "gold": "1260", "answer_format": "number"},
        {"completion": "It is \x1b[2J (B).", "gold": "B", "answer_format": "choice"},
        {"completion": "no", "gold": "yes", "answer_format": "yes_no", "expected_correct": True},
        {"completion": "\\boxed{\\frac{2}{4}}", "gold": "0.5", "answer_format": "math"},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plain = coterie(tmp_path, "grade", "rows.jsonl")
    assert plain.returncode == 1 and "1 verdict differs" in plain.stderr
    assert "\x1b" not in plain.stdout and len(plain.stdout.splitlines()) == 4
    told = [
        json.loads(line) for line in coterie(tmp_path, "grade", "rows.jsonl", "--json").stdout.splitlines()
    ]
    assert [set(row) for row in told] == [{"correct", "extracted", "reason", "flags"}] * 4
    assert [row["correct"] for row in told] == [True, True, False, True]


def test_http_serves_health_and_metrics(folder: Path) -> None:
    import socket
    import urllib.request

    from tests.daemon.site import daemon, wait_until

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    text = (folder / "config.toml").read_text().replace("[daemon]", f'[daemon]\nhttp = "{address}"')
    (folder / "config.toml").write_text(text)

    def fetch(path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            return ""

    with daemon(folder):
        wait_until("health", lambda: '"running"' in fetch("/healthz"))
        metrics = fetch("/metrics")
        live = fetch("/livez")
    assert "coterie_spent_usd_total" in metrics and 'coterie_samples{plan="diverse",' in metrics
    assert live == '{"live": true}'
