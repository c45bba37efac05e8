"""A budget that is set while a daemon runs: work goes on, and it holds over restarts until the file says another one."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from tests.daemon.site import configure, coterie, count, daemon, query, teacher, wait_until

USED_UP_AGAIN = "kind = 'BudgetReached' AND id > (SELECT min(id) FROM event WHERE kind = 'BudgetSet')"


def cap(folder: Path) -> float:
    return float(json.loads(coterie(folder, "status", "--json").stdout)["spend"]["cap_usd"])


def test_a_raised_budget_lets_work_go_on_and_is_remembered(tmp_path: Path) -> None:
    with teacher(tmp_path) as school:
        configure(tmp_path, school.url, budget=0.0005, teacher="concurrency = 2")
        with daemon(tmp_path) as started:
            wait_until(
                "the budget is used up", lambda: count(tmp_path, "event", "kind = 'BudgetReached'"), 60
            )
            stored = count(tmp_path, "sample", "state = 'stored'")
            said = coterie(tmp_path, "budget", "0.001")
            assert said.returncode == 0, said.stderr
            assert said.stdout.startswith("budget set to $0.0010")
            wait_until("more is sampled", lambda: count(tmp_path, "sample", "state = 'stored'") > stored, 60)
            assert cap(tmp_path) == 0.001
            wait_until("it is used up too", lambda: count(tmp_path, "event", USED_UP_AGAIN), 60)
            started.terminate()
            started.wait()
        spent = "SELECT sum(spent_micros + reserved_micros) FROM teacher"
        assert query(tmp_path, spent)[0][0] <= 1_000
        with daemon(tmp_path) as started:  # the same file: the raised budget holds
            wait_until("it runs", lambda: count(tmp_path, "pulse", "state = 'running' AND boot_id = 2"), 60)
            assert cap(tmp_path) == 0.001
            started.terminate()
            started.wait()
        configure(tmp_path, school.url, budget=5.0)
        with daemon(tmp_path, "--until-idle") as started:  # another file: it says how much
            assert started.wait() == 0, started.output()
        assert cap(tmp_path) == 5.0
        assert count(tmp_path, "sample", "state = 'stored'") == 66


def test_what_is_no_amount_is_refused(tmp_path: Path) -> None:
    configure(tmp_path, "http://127.0.0.1:9/v1")
    for given in ("x", "-1", "nan", "1e12"):
        said = coterie(tmp_path, "budget", "--", given)
        assert said.returncode == 2
        assert "is not a number of dollars from 0 to 1e9" in said.stderr


def test_a_budget_that_bounds_nothing_is_told_at_the_start_and_by_check(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-right-0001")
    (tmp_path / "key").chmod(0o600)
    with teacher(tmp_path, "--key", "sk-right-0001") as school:
        configure(tmp_path, school.url, train=2, teacher='api_key_file = "key"')
        text = (tmp_path / "config.toml").read_text()
        assert "may not limit it" not in coterie(tmp_path, "check").stdout
        with daemon(tmp_path) as running:
            wait_until("it runs", lambda: count(tmp_path, "pulse", "state = 'running'"))
            (tmp_path / "config.toml").write_text(text.replace("usd_per_million_output", "#"))
            running.process.send_signal(signal.SIGHUP)
            said = "teachers.school has a key but no usd_per_million_output: its cost is only counted if the provider"
            wait_until("it is told", lambda: said in running.output())
            running.terminate()
            running.wait()
        with daemon(tmp_path) as running:
            wait_until("it is told", lambda: said in running.output())
        assert (
            f"warning: {said} states dollars, so [daemon] budget_usd may not limit it"
            in coterie(tmp_path, "check").stdout
        )
