"""A plan whose settings are at fault is held by a real daemon, and the other plans of its teacher go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiohttp import web

from tests.daemon.site import coterie, daemon, query, run_to_end, wait_until
from tests.faults.fault_server import GOOD, Asked, body, fault_server, says

QUESTIONS = 40
CUT = says(
    body(
        "",
        "length",
        usage={
            "prompt_tokens": 40,
            "completion_tokens": 64,
            "completion_tokens_details": {"reasoning_tokens": 64},
        },
    )
)
SEED = says({"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}, 422)


def configure(folder: Path, url: str, bad: str) -> None:
    """Two plans of one teacher; `bad` is a setting of the first one."""
    rows = [
        f'{{"question": "What is {number}?", "answer": "4", "split": "train"}}\n'
        for number in range(QUESTIONS)
    ]
    (folder / "sums.jsonl").write_text("".join(rows))
    (folder / "more.jsonl").write_text("".join(rows).replace("What is", "Tell me"))
    text = f'[teachers.ada]\nbase_url = "{url}/ada/v1"\nmodel = "m"\nconcurrency = 2\n'
    for task, setting in (("sums", bad), ("more", "")):
        text += (
            f'[tasks.{task}]\nsource = "{task}.jsonl"\nanswer = "number"\ndev = 0\n'
            f'[[plans]]\nname = "of-{task}"\ntasks = ["{task}"]\nstrategy = "zero-shot-cot-chat"\nrationales = 1\n{setting}\n'
        )
    (folder / "config.toml").write_text(text)


def stored(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        name: (done, failed) for name, done, failed in query(folder, "SELECT name, stored, failed FROM plan")
    }


async def answer(request: web.Request, asked: Asked) -> web.StreamResponse:
    """By what the plan has set."""
    sent: dict[str, Any] = await request.json()
    if "seed" in sent:
        return await SEED(request, asked)
    return await (CUT if sent.get("max_tokens") == 64 else GOOD)(request, asked)


def test_a_plan_that_is_cut_every_time_is_held_and_the_other_one_is_done(tmp_path: Path) -> None:
    with fault_server() as served:
        served.does["ada"] = answer
        configure(tmp_path, served.url, "max_tokens = 64")
        code, output = run_to_end(tmp_path)
    why = "plan of-sums on sums is held: 20 of 20 answers were cut at max_tokens = 64 by reasoning alone: raise max_tokens"
    assert code == 1 and f"coterie: {why}" in output and f"error   {why}." in output
    assert stored(tmp_path)["of-more"] == (QUESTIONS, 0)
    done, failed = stored(tmp_path)["of-sums"]
    assert 20 <= done <= 24 and failed == 0


def test_a_refused_setting_holds_its_plan_until_the_user_acts(tmp_path: Path) -> None:
    with fault_server() as served:
        served.does["ada"] = answer
        configure(tmp_path, served.url, "seed = 7")
        with daemon(tmp_path) as running:
            wait_until("the other plan is done", lambda: stored(tmp_path).get("of-more") == (QUESTIONS, 0))
            alert = "! plan of-sums on sums is held: the model rejects seed (422); set omit"
            wait_until("the status says so", lambda: alert in coterie(tmp_path, "status").stdout)
            assert query(tmp_path, "SELECT sum(attempts), count(*) FROM sample WHERE state = 'failed'") == [
                (None, 0)
            ]
            served.does["ada"] = GOOD
            assert coterie(tmp_path, "resume", "--task", "sums").returncode == 0
            wait_until("it continues", lambda: stored(tmp_path)["of-sums"] == (QUESTIONS, 0))
            assert "plan of-sums on sums resumed" in running.output()
            running.terminate()
            assert running.wait() == 130
