"""The other strategies end to end: worked examples, the answer alone, hints where another plan failed."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.daemon.ledgers import check_promise
from tests.daemon.site import coterie, methods, query, run_to_end, said_at_the_end, teacher

FAST = ("--latency-ms", "2", "--error-rate", "0.35")
CONFIG = """
[teachers.school]
base_url = "{url}"
model = "practice-large"

[tasks.coin_flip]
source = "builtin:coin_flip"
answer = "yes_no"
train = 24
dev = 2
test = 12

[tasks.file]
source = "coins.jsonl"
answer = "yes_no"
split_by = "template"

[prompts.mine]
prompt = "Question: {{question}}\\nLet's think step by step."
answer_prompt = "{{prompt}}{{rationale}}\\n{{trigger}}"
trigger = "So the answer is"

[[plans]]
name = "diverse"
tasks = ["coin_flip"]
prompts = "mine"

[[plans]]
name = "hints"
tasks = ["coin_flip"]
strategy = "rationalize"
needs = "diverse"
rationales = 2

[[plans]]
name = "shots"
split = "test"
strategy = "few-shot-cot"
rationales = 3
exemplars = "{{task}}.shots.jsonl"

[[plans]]
name = "direct"
split = "test"
strategy = "zero-shot"
temperature = 0.0
"""
COIN = 'A coin is heads up. {} Is the coin still heads up? Note that "flip" here means "reverse".'


@contextmanager
def recorded(url: str) -> Iterator[tuple[str, list[str]]]:
    """A server that passes everything on to the one at `url`, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(json.loads(body)["messages"][0]["content"])
            request = urllib.request.Request(
                url + self.path.removeprefix("/v1"),
                body,
                {"Content-Type": "application/json", "X-Request-Id": self.headers["X-Request-Id"]},
            )
            with urllib.request.urlopen(request) as answer:
                data = answer.read()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _write(folder: Path, url: str) -> None:
    (folder / "config.toml").write_text(CONFIG.format(url=url))
    names = [f"{first}{last}" for first in ("An", "Bo", "Ce", "Di") for last in ("na", "li", "ro")]
    rows = [
        {
            "question": COIN.format(f"{name} {'flips' if flips else 'does not flip'} the coin."),
            "answer": "no" if flips else "yes",
        }
        for name in names
        for flips in (True, False)
    ]
    (folder / "coins.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shot = {
        "question": COIN.format("Zoe flips the coin."),
        "rationale": "Zoe flips it, so it is tails.",
        "answer": "no",
    }
    asked_too = {"question": rows[0]["question"], "rationale": "So.", "answer": "no"}
    other = {
        "question": COIN.format("Max does not flip the coin."),
        "rationale": "It is heads.",
        "answer": "yes",
    }
    for task in ("coin_flip", "file"):
        (folder / f"{task}.shots.jsonl").write_text(
            "".join(json.dumps(each) + "\n" for each in (shot, asked_too, other))
        )


def test_every_strategy_samples_grades_and_tells_what_it_sent(tmp_path: Path) -> None:
    with teacher(tmp_path, *FAST) as school, recorded(school.url) as (url, asked):
        _write(tmp_path, url)
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        before = len(school.ledger())
        assert run_to_end(tmp_path)[0] == 0
        assert len(school.ledger()) == before, "finished work was asked for again"
        check_promise(tmp_path, school.ledger())
    _check_hints(tmp_path)
    kept = {
        row[0]: row[1]
        for row in query(
            tmp_path,
            "SELECT t.name, p.settings FROM plan p JOIN task t ON t.id = p.task_id WHERE p.name = 'shots'",
        )
    }
    shown = {task: len(json.loads(settings)["wording"]["exemplars"]) for task, settings in kept.items()}
    tested = {q for (q,) in query(tmp_path, "SELECT text FROM question WHERE task_id = 2 AND split = 'test'")}
    leaked = COIN.format("Anna flips the coin.") in tested  # by the seed: the example is left out then
    assert shown == {"coin_flip": 3, "file": 2 if leaked else 3}
    read = query(
        tmp_path,
        "SELECT count(*) FROM sample s JOIN plan p ON p.id = s.plan_id WHERE p.name = 'shots' AND (s.rationale = '' OR s.verdict IS NULL OR s.flags <> '[]')",
    )
    assert read == [(0,)]
    rows = [json.loads(line) for line in coterie(tmp_path, "export", "samples", "--sent").stdout.splitlines()]
    told = Counter(text for row in rows for text in row["sent"])
    assert told == Counter(asked), "what is told is not what was sent"
    assert {row["plan"]: len(row["sent"]) for row in rows} == {
        "diverse": 2,
        "hints": 1,
        "shots": 1,
        "direct": 1,
    }
    chat = coterie(tmp_path, "export", "samples", "--format", "openai-chat").stdout.splitlines()
    assert len(chat) == sum(row["correct"] for row in rows if row["plan"] == "diverse"), (
        "neither hinted ones nor answers to test questions are training data"
    )
    assert all(row["sent"][0].startswith("Question: ") for row in rows if row["plan"] == "diverse")
    assert methods(said_at_the_end(output)) == 2 * [  # a table for each task
        "random",
        "zero-shot (school)",
        "few-shot-cot (school)",
        "few-shot-cot, majority of 3 (school)",
    ]


def _check_hints(folder: Path) -> None:
    failed = query(
        folder,
        "SELECT s.question_id FROM sample s JOIN plan p ON p.id = s.plan_id WHERE p.name = 'diverse' AND s.verdict = 0 ORDER BY 1",
    )
    hinted = query(
        folder,
        "SELECT s.question_id, s.flags, s.verdict, s.created_at FROM sample s JOIN plan p ON p.id = s.plan_id"
        " WHERE p.name = 'hints' ORDER BY s.question_id, s.replicate",
    )
    assert 2 < len(failed) < 24, "the seed of the test's teacher is of no use"
    assert [row[0] for row in hinted] == [row[0] for row in failed for _ in range(2)]
    assert all("hinted" in row[1] for row in hinted)
    assert sum(row[2] for row in hinted) > len(hinted) / 2
    last = query(
        folder,
        "SELECT max(s.stored_at) FROM sample s JOIN plan p ON p.id = s.plan_id WHERE p.name = 'diverse'",
    )
    assert min(row[3] for row in hinted) >= last[0][0], "a hint was given before the other plan was done"
    assert query(folder, "SELECT wanted, stored + skipped FROM plan WHERE name = 'hints'") == [(48, 48)]


def test_check_says_what_overlaps_and_that_examples_are_missing(tmp_path: Path) -> None:
    _write(tmp_path, "http://127.0.0.1:9/v1")
    said = coterie(tmp_path, "check")
    assert said.returncode == 0, said.stderr
    assert "task file: " in said.stdout and "split by template: 2 templates" in said.stdout
    text = (tmp_path / "config.toml").read_text()
    (tmp_path / "config.toml").write_text(text.replace('exemplars = "{task}.shots.jsonl"', ""))
    said = coterie(tmp_path, "check")
    assert said.returncode == 2
    assert "plans.shots.exemplars: few-shot-cot on the task file has no worked example" in said.stderr
