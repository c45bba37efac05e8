"""Gold answers that cannot be read, and an answer format that changes, with a real daemon and a teacher that counts."""

from __future__ import annotations

import json
from pathlib import Path

from tests.daemon.site import coterie, query, run_to_end
from tests.faults.fault_server import fault_server

GOLDS = ["4", "maybe", "4 apples", "4", "see solution", "5", "?", "..."]
CONFIG = """
[daemon]
budget_usd = 1.0
[teachers.a]
base_url = "{url}/a/v1"
model = "m"
usd_per_million_input = 1.0
usd_per_million_output = 1.0
[tasks.sums]
source = "sums.jsonl"
answer = "{answer}"
{task}
[[plans]]
name = "p"
tasks = ["sums"]
strategy = "zero-shot-cot-chat"
"""


def write(
    folder: Path, url: str = "http://127.0.0.1:9", answer: str = "number", task: str = "dev = 0"
) -> None:
    (folder / "config.toml").write_text(CONFIG.format(url=url, answer=answer, task=task))


def rows(folder: Path, golds: list[str]) -> None:
    lines = [{"id": f"q{n}", "question": f"What is {n}?", "answer": gold, "split": "train"} for n, gold in enumerate(golds)]  # fmt: skip
    (folder / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))


def events(folder: Path, kind: str) -> list[str]:
    return [text for (text,) in query(folder, "SELECT message FROM event WHERE kind = ? ORDER BY id", kind)]


def asked(questions: list[str]) -> list[int]:
    return sorted(int(text.partition("What is ")[2].partition("?")[0]) for text in questions)


def test_no_money_goes_on_questions_whose_answer_nothing_can_be(tmp_path: Path) -> None:
    rows(tmp_path, GOLDS)
    with fault_server() as served:
        write(tmp_path, served.url)
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        assert asked([each.question for each in served.asked]) == [0, 2, 3, 5]
        (said,) = events(tmp_path, "TaskRead")
        assert "4 of 8 gold answers cannot be read as number (4 train)" in said
        assert "q1: 'maybe' (not a number); q4: 'see solution' (not a number); q6: '?'" in said
        assert said.removeprefix("task sums: ") in coterie(tmp_path, "check").stdout
        assert query(tmp_path, "SELECT key, active, unreadable FROM question WHERE active = 0") == [
            (f"q{n}", 0, "not a number") for n in (1, 4, 6, 7)
        ]
        assert query(tmp_path, "SELECT wanted, stored, accepted, rejected FROM plan") == [(4, 4, 3, 1)]
        assert "task sums: 4 of 8 questions are not used" in coterie(tmp_path, "status").stdout
        (task,) = json.loads(coterie(tmp_path, "status", "--json").stdout)["tasks"]
        assert (task["questions"], task["unreadable"]) == (4, 4)
        bought = query(tmp_path, "SELECT count(*) FROM attempt")

        code, output = run_to_end(tmp_path)  # again, from what is stored: the file is not read
        assert code == 0 and query(tmp_path, "SELECT count(*) FROM attempt") == bought
        assert query(tmp_path, "SELECT train, unreadable FROM task") == [(4, 4)]


def test_another_answer_format_grades_again_and_buys_only_what_it_can_read_now(tmp_path: Path) -> None:
    rows(tmp_path, GOLDS)
    with fault_server() as served:
        write(tmp_path, served.url)
        assert run_to_end(tmp_path)[0] == 0
        write(tmp_path, served.url, answer="text")
        assert "`answer` was number and is text: the next start grades" in coterie(tmp_path, "check").stdout
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        assert events(tmp_path, "TaskRegraded") == [
            "task sums: `answer` was number and is text: 4 stored samples were graded again, 1 verdict changed"
        ]
        assert asked([each.question for each in served.asked]) == [0, 1, 2, 3, 4, 5]
        assert query(tmp_path, "SELECT wanted, stored, accepted, rejected FROM plan") == [(6, 6, 2, 4)]
        reasons = query(
            tmp_path,
            "SELECT g.reason FROM grade g JOIN sample s ON s.id = g.sample_id JOIN question q ON q.id = s.question_id"
            " WHERE q.key = 'q2'",
        )
        assert reasons == [("the answer '4' is not the gold '4 apples'",)]

        write(
            tmp_path, served.url
        )  # back again: the samples of what cannot be read stay, and count for nothing
        code, output = run_to_end(tmp_path)
        assert code == 0 and len(served.asked) == 6, output
        assert query(tmp_path, "SELECT wanted, stored, accepted, rejected FROM plan") == [(4, 4, 3, 1)]
        assert len(events(tmp_path, "TaskRegraded")) == 2


def test_a_format_that_reads_nothing_is_refused_before_the_first_request(tmp_path: Path) -> None:
    rows(tmp_path, ["yes", "no", "no"])
    write(tmp_path)
    for argv in (("check",), ("run", "--until-idle", "--no-tui")):
        done = coterie(tmp_path, *argv)
        assert done.returncode == 2, done.stdout
        assert (
            "tasks.sums.answer: none of the 3 gold answers can be read as number: q0: 'yes' (not a number)"
            in done.stderr
        )
        assert '`answer = "yes_no"`' in done.stderr
    assert not (tmp_path / "state.db").exists()


def test_what_is_set_aside_as_dev_is_said_at_the_first_look(tmp_path: Path) -> None:
    rows(tmp_path, [str(n) for n in range(40)])
    said = "task sums: 40 train, of which 4 are set aside as dev (`dev = 0` keeps them), 0 test"
    with fault_server() as served:
        write(tmp_path, served.url, task="")
        assert said in coterie(tmp_path, "check").stdout.splitlines()
        assert run_to_end(tmp_path)[0] == 0
    assert events(tmp_path, "TaskRead") == [said]
    write(tmp_path, task="dev = 0")
    assert "task sums: 40 train, 0 dev, 0 test" in coterie(tmp_path, "check").stdout
