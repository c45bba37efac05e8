"""The daemon and the built-in teacher in every dialect: one daemon with a teacher each, without faults and with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.teachers.dialects import DIALECTS, dialect
from engine.teachers.messages import Message, Request
from tests.daemon.ledgers import check_promise
from tests.daemon.site import query, run_to_end, teacher

EACH = pytest.mark.parametrize("name", list(DIALECTS))
QUESTIONS, RATIONALES = 6, 2
WANTED = QUESTIONS * RATIONALES


def write(folder: Path, server: str, rationales: int = RATIONALES) -> None:
    """A teacher and a plan for each dialect. Their temperatures differ, so that no plan takes the samples of another."""
    text = f"""
[daemon]
budget_usd = 5.0

[tasks.coin_flip]
source = "builtin:coin_flip"
answer = "yes_no"
train = {QUESTIONS}
dev = 2
test = 2
"""
    for number, each in enumerate(DIALECTS.values()):
        batches = "batch_wait_seconds = 0.2\nbatch_poll_seconds = 0.2" if each.transport == "batches" else ""
        text += f"""
[teachers.{each.name}]
dialect = "{each.name}"
{server}
model = "practice-large"
usd_per_million_input = 0.15
usd_per_million_output = 0.60
{batches}

[[plans]]
name = "{each.name}"
teachers = ["{each.name}"]
strategy = "zero-shot-cot"
rationales = {rationales}
temperature = 0.7{number}
"""
    (folder / "config.toml").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a daemon that started a built-in teacher for each dialect, and ended."""
    folder = tmp_path_factory.mktemp("sampled")
    write(folder, "builtin = true\nlatency_ms = 2.0")
    code, output = run_to_end(folder)
    assert code == 0, output
    return folder


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    """The same against one server with faults; the folder, and the server's ledger."""
    folder = tmp_path_factory.mktemp("faulty")
    faults = "500=0.06,429=0.06,truncate=0.06,malformed=0.06"
    flags = ("--latency-ms", "2", "--batch-seconds", "0.2", "--seed", "4", "--fault", faults)
    with teacher(folder, *flags) as server:
        write(folder, f'base_url = "{server.url}"\nmax_attempts = 20')
        code, output = run_to_end(folder)
        assert code == 0, output
        yield folder, server.ledger()


@EACH
def test_every_sample_is_stored_and_paid_for_by_what_the_server_counted(name: str, sampled: Path) -> None:
    assert query(sampled, "SELECT wanted, stored, failed FROM plan WHERE name = ?", name) == [
        (WANTED, WANTED, 0)
    ]
    rows = query(
        sampled,
        "SELECT a.outcome, a.estimated, c.finish_reason, a.prompt_tokens, a.completion_tokens, a.cost_micros"
        " FROM attempt a JOIN teacher t ON t.id = a.teacher_id JOIN completion c ON c.attempt_id = a.id"
        " WHERE t.name = ?",
        name,
    )
    assert len(rows) == 2 * WANTED  # two turns each
    share = dialect(name).settings().price_share
    for outcome, estimated, reason, prompt, completion, micros in rows:
        assert (outcome, estimated, reason) == ("ok", 0, "stop")
        assert prompt > 20 and completion >= 2
        assert micros == pytest.approx(share * (0.15 * prompt + 0.60 * completion), abs=1)
    texts = query(
        sampled,
        "SELECT s.rationale FROM sample s JOIN plan p ON p.id = s.plan_id WHERE p.name = ?",
        name,
    )
    assert len(texts) == WANTED and all("coin" in text or "heads" in text for (text,) in texts)


def test_answers_depend_on_the_replicate_alone_whatever_was_asked_before_a_restart(
    sampled: Path, tmp_path: Path
) -> None:
    for rationales in range(1, RATIONALES + 1):
        write(tmp_path, "builtin = true\nlatency_ms = 2.0", rationales)
        code, output = run_to_end(tmp_path)
        assert code == 0, output
    found = [
        query(
            folder,
            "SELECT p.name, s.question_id, s.replicate, s.rationale, s.answer FROM sample s JOIN plan p ON p.id = s.plan_id"
            " WHERE s.state = 'stored' ORDER BY 1, 2, 3",
        )
        for folder in (sampled, tmp_path)
    ]
    assert found[0] == found[1] and len(found[0]) == WANTED * len(DIALECTS)
    repeated = {(row[0], row[1], row[3]) for row in found[0]}
    assert len(repeated) > 0.9 * len(found[0]), "replicates repeat each other"


@EACH
def test_with_faults_every_sample_is_stored_and_every_payment_accounted_for(
    name: str, faulty: tuple[Path, list[dict[str, Any]]]
) -> None:
    folder, ledger = faulty
    wanted, stored, failed = query(folder, "SELECT wanted, stored, failed FROM plan WHERE name = ?", name)[0]
    assert wanted == WANTED == stored + failed and failed <= 1
    asked = {
        request
        for (request,) in query(
            folder,
            "SELECT a.request_id FROM attempt a JOIN teacher t ON t.id = a.teacher_id WHERE t.name = ?",
            name,
        )
    }
    own = [entry for entry in ledger if entry["request_id"] in asked]
    assert sum(entry["billed"] for entry in own) >= 2 * stored
    assert sum(bool(entry["fault"]) for entry in own) >= 2
    paths = {"/v1/batches row"} if dialect(name).transport == "batches" else None
    assert {entry["path"] for entry in own} == (paths or {f"/v1{path_of(name)}"})


def test_the_accounts_agree_with_the_server(faulty: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, ledger = faulty
    told = check_promise(folder, ledger)
    assert told["billed"] >= 2 * WANTED * len(DIALECTS) - 4 and told["unknown"] > 0


def path_of(name: str) -> str:
    """The path of a dialect's requests."""
    request = Request(messages=(Message("user", "x"),), max_tokens=9)
    return dialect(name).build(request, "m", {})[0]
