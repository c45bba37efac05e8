"""`coterie retry`: given-up samples are told of, and asked again, by a daemon that runs or the next one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from aiohttp import web

from daemon.__main__ import main
from tests.daemon.site import daemon, query, run_to_end, wait_until
from tests.faults.fault_server import GOOD, Asked, FaultServer, fault_server, refuses

CONFIG = """
[teachers.a]
base_url = "{url}/a/v1"
model = "m"
usd_per_million_input = 1.0
usd_per_million_output = 1.0

[tasks.sums]
source = "sums.jsonl"
answer = "number"
dev = 0

[[plans]]
name = "two turns"
strategy = "zero-shot-cot"
"""


def prepare(folder: Path, served: FaultServer) -> None:
    rows = "".join(f'{{"question": "What is {n}?", "answer": "4", "split": "train"}}\n' for n in range(20))
    (folder / "sums.jsonl").write_text(rows)
    (folder / "config.toml").write_text(CONFIG.format(url=served.url).replace("two turns", "two-turns"))


async def second_turn_refused(request: web.Request, asked: Asked) -> web.StreamResponse:
    """Refuses the second turn of two questions, and the first of one."""
    second = "Therefore" in (await request.text())
    if " 7?" in asked.question or " 8?" in asked.question:
        return await (refuses(400, f"no seat 12{asked.number}") if second else GOOD)(request, asked)
    if " 9?" in asked.question:
        return await refuses(422, "no such word")(request, asked)
    return await GOOD(request, asked)


def said(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *argv: str
) -> tuple[int, str]:
    """Exit code and output of a command, in this process."""
    monkeypatch.chdir(folder)
    code = main(list(argv))
    got = capsys.readouterr()
    return code, got.out + got.err


def test_given_up_samples_are_told_and_asked_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(*argv: str) -> tuple[int, str]:
        return said(tmp_path, capsys, monkeypatch, *argv)

    words = "3 of 20 samples were given up: `coterie retry` asks them again"
    with fault_server() as served:
        prepare(tmp_path, served)
        served.does["a"] = second_turn_refused
        for _ in range(2):  # finished work, too
            code, output = run_to_end(tmp_path)
            assert code == 1, output
            assert output.rstrip().endswith(words), output[-600:]
            assert "plan two-turns, task sums: 3 of 20 given up" in output
            assert output.count("  2: ") == 1 and "no such word" in output  # two of them for one reason
        asked = len(served.asked)
        # Asked last, they are asked up to a dozen times each before the key, or chance, is ruled out.
        assert 0 <= asked - (17 * 2 + 2 * 2 + 1) <= 2 * 12

        code, text = command("status")
        assert code == 0 and words in text
        code, text = command("status", "--json")
        assert json.loads(text)["plans"][0]["given_up"] == 3

        code, text = command("retry", "--dry-run", "--reason", "SEAT")
        assert code == 0 and text.endswith("dry run: 2 samples would be asked again\n"), text
        assert "no such word" not in text
        for wrong, known in (("--plan", "two-turns"), ("--task", "sums")):
            code, text = command("retry", wrong, "nowhere")
            assert code == 2 and f"has no {wrong[2:]} 'nowhere'; known: {known}" in text, text
        code, text = command("retry", "--reason", "sofa")
        assert code == 2 and "no given-up sample has 'sofa' in its reason; there are:" in text, text
        assert "no such word" in text
        assert query(tmp_path, "SELECT count(*) FROM command") == [(0,)]

        spent = query(tmp_path, "SELECT spent_micros FROM plan")
        code, text = command("retry", "--reason", "seat")
        assert code == 0 and "queued; applied when a daemon starts" in text
        assert query(tmp_path, "SELECT spent_micros FROM plan") == spent
        served.does["a"] = GOOD
        code, output = run_to_end(tmp_path)
        assert code == 1 and "1 of 20 samples was given up: `coterie retry` asks it again" in output
        assert len(served.asked) == asked + 2  # the second turns alone: the first ones were answered
        assert query(tmp_path, "SELECT stored, failed FROM plan") == [(19, 1)]

        with daemon(tmp_path) as running:  # one that waits with nothing to do
            wait_until("it runs", lambda: query(tmp_path, "SELECT 1 FROM pulse WHERE state = 'running'"))
            code, text = command("retry")
            assert (code, text) == (0, "1 sample is asked again\n")
            wait_until("it is stored", lambda: query(tmp_path, "SELECT stored FROM plan") == [(20,)])
            wait_until(
                "the plan completed again",
                lambda: query(
                    tmp_path,
                    "SELECT 1 FROM event WHERE kind = 'PlanCompleted' AND id = (SELECT max(id) FROM event)",
                ),
            )
            code, text = command("retry")
            assert (code, text) == (0, "no sample was given up: nothing to ask again\n")
            running.terminate()
            assert running.wait() == 130
        code, output = run_to_end(tmp_path)
        assert code == 0 and "given up" not in output, output
    attempts = query(
        tmp_path, "SELECT outcome, count(*) FROM attempt WHERE outcome <> 'ok' GROUP BY outcome ORDER BY 1"
    )
    assert attempts == [("permanent", asked - 36)]
