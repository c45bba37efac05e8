"""`coterie check --ping`: what is sent, and what is said of the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from daemon.catalog.sync import read_input
from daemon.cli.ping import ping_all
from engine.config import Config
from tests.daemon.parts import config_of
from tests.faults.fault_server import Asked, Behaviour, FaultServer, body, fault_server, first, refuses, says

PRICES = {"usd_per_million_input": 10.0, "usd_per_million_output": 100.0}
PLAN = {"name": "p", "strategy": "zero-shot-cot-chat", "temperature": 0.25, "top_p": 0.5, "max_tokens": 900}


def config(folder: Path, teachers: dict[str, Any], *plans: dict[str, Any]) -> Config:
    rows = [{"id": f"q{n}", "question": f"What is {n}?", "answer": "4", "split": "train"} for n in range(3)]
    rows.append({"id": "t", "question": "What is a test?", "answer": "5", "split": "test"})
    (folder / "t.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    tasks = {"t": {"source": "t.jsonl", "answer": "number", "dev": 0}}
    return config_of(folder, tasks=tasks, teachers=teachers, plans=list(plans or [PLAN]))


def teacher(served: FaultServer, name: str = "a", **more: Any) -> dict[str, Any]:
    return {"base_url": f"{served.url}/{name}/v1", "model": "m", **more}


def pinged(made: Config) -> tuple[bool, list[str], list[float]]:
    """Whether all answered, what was said, and the waits before further tries."""
    lines: list[str] = []
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def run() -> bool:
        return await ping_all(made, read_input(made), lines.append, sleep=sleep)

    return anyio.run(run), lines, waits


def keeping(sent: list[dict[str, Any]], then: Behaviour) -> Behaviour:
    async def answer(request: web.Request, asked: Asked) -> web.StreamResponse:
        sent.append(await request.json())
        return await then(request, asked)

    return answer


def test_the_plans_own_request_is_sent_and_its_answer_graded(tmp_path: Path) -> None:
    sent: list[dict[str, Any]] = []
    with fault_server() as served:
        served.does["a"] = keeping(sent, says(body()))
        test = {"name": "test", "split": "test", "strategy": "zero-shot-cot", "seed": 7, "per_request": 4}
        good, lines, _ = pinged(config(tmp_path, {"a": teacher(served, **PRICES)}, PLAN, test))
    assert good
    assert [(each["temperature"], each.get("top_p"), each["max_tokens"]) for each in sent] == [
        (0.25, 0.5, 900),
        (0.7, None, 256),
        (0.7, None, 32),
    ]
    assert [each.get("seed") for each in sent] == [None, 7, 7]
    assert all(each.get("n", 1) == 1 for each in sent)
    assert "What is 0?" in sent[0]["messages"][0]["content"]
    assert "What is a test?" in sent[1]["messages"][0]["content"]
    assert lines[0] == f"teacher a, plan p: POST {served.url}/a/v1/chat/completions"
    assert lines[1].startswith("  2 and 2 make 4. Answer: 4 [stop; 40 + 10 tokens; ")
    assert lines[2:4] == ["  graded: correct (answer 4)", "  cost $0.0014"]
    assert lines[-2:] == ["  graded: wrong (answer 4)", "  cost $0.0028"]


def test_every_key_is_used_and_every_plan_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KEY_A", "KEY_B", "KEY_C"):
        monkeypatch.setenv(name, f"sk-{name}")
    keys = {"api_key_envs": ["KEY_A", "KEY_B", "KEY_C"]}
    with fault_server() as served:
        made = config(tmp_path, {"a": teacher(served, **keys)}, PLAN, {**PLAN, "name": "other"})
        good, lines, _ = pinged(made)
        assert good and [each.key for each in served.asked] == ["sk-KEY_A", "sk-KEY_B", "sk-KEY_C"]
    assert [line.partition(": POST")[0] for line in lines if "POST" in line] == [
        "teacher a (KEY_A), plan p",
        "teacher a (KEY_B), plan other",
        "teacher a (KEY_C), plan p",
    ]
    assert "cost unknown: the teacher has no prices" in lines[3]


def test_a_refusal_is_told_with_its_words_and_costs_nothing(tmp_path: Path) -> None:
    with fault_server() as served:
        served.does = {"a": refuses(400, "temperature is too hot"), "b": says(body())}
        teachers = {"a": teacher(served, **PRICES), "b": teacher(served, "b")}
        good, lines, waits = pinged(config(tmp_path, teachers))
    assert not good and waits == []
    assert "temperature is too hot" in lines[1] and lines[1].startswith("  failed (")
    assert "  cost $0.0000" in lines[2] or lines[2] == "  cost $0.00"
    assert any("teacher b" in line for line in lines)  # the others are asked all the same


@pytest.mark.parametrize(
    "answer",
    [
        says({"error": "Unexpected endpoint or method. (POST /chat/completions)"}),
        refuses(404, "no such page"),
        says(b"<!DOCTYPE html><html><body>Welcome</body></html>"),
        refuses(405, "Method Not Allowed"),
    ],
    ids=["LM Studio", "404", "a page", "405"],
)
def test_a_missing_v1_is_found(tmp_path: Path, answer: Behaviour) -> None:
    async def routed(request: web.Request, asked: Asked) -> web.StreamResponse:
        return await (says(body()) if request.path.startswith("/a/v1/") else answer)(request, asked)

    with fault_server() as served:
        served.does["a"] = routed
        without = {**teacher(served), "base_url": f"{served.url}/a?x=1"}
        good, lines, _ = pinged(config(tmp_path, {"a": without}))
        assert not good
        assert (
            f'  base_url lacks /v1, where the server does answer: write base_url = "{served.url}/a/v1?x=1"'
            in lines
        )
        served.does["a"] = answer
        good, lines, _ = pinged(config(tmp_path, {"a": without}))
        assert not good and any("may lack a part such as /v1" in line for line in lines)
        good, lines, _ = pinged(config(tmp_path, {"a": teacher(served)}))
        assert not good and not any("/v1:" in line or "lack" in line for line in lines)


def test_what_passes_is_tried_again_as_the_server_says(tmp_path: Path) -> None:
    with fault_server() as served:
        served.does["a"] = first(2, refuses(429, "slow down", Retry_After="7"))
        good, lines, waits = pinged(config(tmp_path, {"a": teacher(served)}))
        assert good and waits == [7.0, 7.0] and len(served.asked) == 3
        served.does["a"] = refuses(503, "maintenance")
        good, lines, waits = pinged(config(tmp_path, {"a": teacher(served)}))
        assert not good and len(waits) == 2
        assert "tried 3 times; it may pass" in lines[2] and "maintenance" in lines[1], lines


def test_an_answer_that_cannot_be_read_is_a_warning(tmp_path: Path) -> None:
    with fault_server() as served:
        served.does["a"] = says(body("I think so.", finish="length"))
        good, lines, _ = pinged(config(tmp_path, {"a": teacher(served)}))
    assert good
    assert lines[2].startswith("  warning: no answer could be read from it") and "truncated" in lines[2]


def test_a_batch_teacher_and_one_without_a_plan_are_asked_what_costs_little(tmp_path: Path) -> None:
    with fault_server() as served:
        served.does["b"] = says({"object": "list", "data": [], "has_more": False})
        teachers = {"b": teacher(served, "b", dialect="openai-batch"), "free": teacher(served, "free")}
        good, lines, _ = pinged(config(tmp_path, teachers, {**PLAN, "teachers": ["b"]}))
    assert good
    assert lines[0] == "teacher b: batches can be listed"
    assert lines[1].startswith("teacher free: answered in ")
