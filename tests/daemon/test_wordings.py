"""Wordings that are tried for a plan, by a real daemon that is killed: nothing is paid twice, and the result is in every view."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

from engine.config.wordings import rounds
from state.database import open_reader
from state.views.status import read_status
from state.views.status_text import format_status
from tests.daemon.ledgers import check_promise
from tests.daemon.site import Daemon, configure, coterie, count, query, run_to_end, teacher, wait_until
from tui.screens.overview_panels import Overview
from tui.screens.tasks import TaskRow, plans

WORDINGS = 'prompts = "brief"\nwordings = ["briefer", "usual", "worst"]\n'
PROMPTS = """
[prompts.brief]
trigger = "So:"
[prompts.briefer]
trigger = "Thus:"
[prompts.usual]
trigger = "Therefore, the answer is"
[prompts.worst]
trigger = "Hm:"
"""
DEV = 80
AT_ONCE = 8


def test_a_search_that_is_killed_goes_on_where_it_was_and_says_what_it_found(tmp_path: Path) -> None:
    with teacher(tmp_path, "--latency-ms", "20") as server:
        configure(
            tmp_path,
            server.url,
            train=4,
            dev=DEV,
            rationales=1,
            plan=WORDINGS,
            students=PROMPTS,
            teacher=f"concurrency = {AT_ONCE}",
        )
        file = tmp_path / "config.toml"
        text = file.read_text().replace('"builtin:coin_flip"', '"builtin:multi_step_arithmetic"')
        file.write_text(text.replace('"yes_no"', '"number"'))
        estimate = json.loads(coterie(tmp_path, "estimate", "--json").stdout)
        for moment in (60, 280):  # in the first round, and in a later one
            running = Daemon(tmp_path, "--until-idle")
            wait_until("it asked", lambda many=moment: len(server.ledger()) >= many)
            running.kill()
        code, output = run_to_end(tmp_path)
        assert code == 0, output[-2000:]
        ledger = server.ledger()
    found = check_promise(tmp_path, ledger)
    assert found["unknown"] <= 2 * AT_ONCE
    [result] = json.loads(coterie(tmp_path, "status", "--json").stdout)["wordings"]
    assert (result["of"], result["best"], result["beats"], result["decided"]) == (
        "diverse",
        "usual",
        True,
        True,
    )
    limits = rounds(DEV, 3)
    asked = sorted(each["n"] for each in result["wordings"])
    assert asked == sorted([limits[0], limits[1], DEV, DEV]) and result["wordings"][0]["n"] == DEV
    dev = [plan for plan in estimate["plans"] if plan["split"] == "dev"]
    assert (
        round(sum(plan["samples"] for plan in dev))
        == sum(asked)
        == count(tmp_path, "sample", "split = 'dev'")
    )
    assert "usual beats the given one" in result["text"] and 'prompts = "usual"' in result["text"]
    assert result["text"] in output
    with closing(open_reader(tmp_path / "state.db")) as connection:
        status = read_status(connection, 0)
    [task] = status.tasks
    shown = "".join(each.plain for each in plans(TaskRow(Overview(status=status), task, None)).paint(400, 30))
    assert result["text"] in shown and result["text"] in format_status(status)
    report = (tmp_path / "report" / "report.md").read_text()
    assert "## Wordings" in report and "usual beats the given one" in report
    assert query(tmp_path, "SELECT count(*) FROM event WHERE kind = 'WordingsCompared'") == [(1,)]
