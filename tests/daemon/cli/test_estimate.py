"""`coterie estimate` beside what a run then asks, costs and takes, and what is left of it afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.site import configure, coterie, query, run_to_end, teacher

TEACHER = "requests_per_minute = 1200\nconcurrency = 200"


def estimate(folder: Path) -> dict[str, Any]:
    done = coterie(folder, "estimate", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_estimate_is_what_a_run_takes_and_costs(tmp_path: Path) -> None:
    with teacher(tmp_path, "--latency-ms", "5", "--error-rate", "0") as school:
        configure(tmp_path, school.url, teacher=TEACHER, rationales=3)
        before = estimate(tmp_path)
        requests = 2 * (30 * 3 + 6)
        assert sum(plan["requests"] for plan in before["plans"]) == requests
        answer = 3  # seconds that are assumed of the last one
        assert requests / 20 - 1 <= before["seconds"] <= requests / 20 + answer
        assert not (tmp_path / "state.db").exists()
        checked = coterie(tmp_path, "check").stdout
        assert f"estimate: about {requests} requests; " in checked and "$5.00 left of the budget" in checked

        code, output = run_to_end(tmp_path)
        assert code == 0, output
        assert len(school.ledger()) == requests
        prompt, completion, usd, seconds = query(
            tmp_path,
            "SELECT sum(prompt_tokens), sum(completion_tokens), sum(cost_micros) / 1e6,"
            " (max(ended_at) - min(claimed_at)) / 1000.0 FROM attempt",
        )[0]
        assert usd <= before["most_usd"] and seconds >= before["seconds"] - answer - 1
        assert sum(plan["prompt_tokens"] for plan in before["plans"]) == pytest.approx(prompt, rel=0.5)

        done = estimate(tmp_path)
        assert done["plans"] == [] and done["used_usd"] == pytest.approx(usd)
        assert "estimate: nothing is left to sample" in coterie(tmp_path, "estimate").stdout

        # more of the same: what is stored says how long answers are
        configure(tmp_path, school.url, teacher=TEACHER, rationales=5)
        more = estimate(tmp_path)
        (plan,) = more["plans"]
        assert (plan["samples"], plan["requests"]) == (60, 120)
        assert "stored samples" in plan["basis"] and "up to 60 further samples" in "".join(more["edits"])
        assert plan["completion_tokens"] == pytest.approx(60 * completion / (30 * 3 + 6), rel=0.1)
        tokens = plan["prompt_tokens"] * 0.15 + plan["completion_tokens"] * 0.6
        assert plan["usd"] == pytest.approx(tokens / 1e6, rel=0.01)

        # another prompt begins anew, and the budget that is left does not suffice
        configure(tmp_path, school.url, teacher=TEACHER, strategy="zero-shot-cot-chat", budget=usd * 1.1)
        text = coterie(tmp_path, "estimate").stdout
        assert "plan diverse on coin_flip begins anew (strategy was zero-shot-cot" in text
        assert "of [daemon] budget_usd are left: sampling stops there" in text


def test_plans_that_share_samples_count_once_and_those_by_need_as_expected(tmp_path: Path) -> None:
    configure(
        tmp_path,
        "http://127.0.0.1:9",
        rationales=8,
        students="""
[[plans]]
name = "two"
rationales = 2

[[plans]]
name = "need"
rationales = 1
max_rationales = 4
temperature = 0.9

[[plans]]
name = "hints"
strategy = "rationalize"
needs = "need"
rationales = 2
""",
    )
    found = {plan["plan"]: plan for plan in estimate(tmp_path)["plans"]}
    assert found["diverse"]["samples"] == 240 and "two" not in found
    assert 30 < found["need"]["samples"] < found["need"]["most_samples"] == 120
    assert 0 < found["hints"]["samples"] < 30 and found["hints"]["most_samples"] == 60
    assert "60 % correct is assumed" in found["need"]["basis"] and "correct" not in found["diverse"]["basis"]


def test_several_teachers_share_a_plan_by_their_limits_and_the_dearest_bounds_it(tmp_path: Path) -> None:
    second = """
requests_per_minute = 300

[teachers.other]
base_url = "http://127.0.0.1:9"
model = "dear"
usd_per_million_input = 15
usd_per_million_output = 60
requests_per_minute = 900
"""
    configure(tmp_path, "http://127.0.0.1:9", teacher="requests_per_minute = 300", rationales=4)
    alone = {plan["plan"]: plan for plan in estimate(tmp_path)["plans"]}["diverse"]
    configure(tmp_path, "http://127.0.0.1:9", teacher=second, rationales=4)
    both = estimate(tmp_path)
    plan = {plan["plan"]: plan for plan in both["plans"]}["diverse"]
    shares = {each["teacher"]: each["samples"] for each in plan["teachers"]}
    assert shares == {"school": 30, "other": 90}
    assert plan["most_usd"] == pytest.approx(100 * alone["most_usd"], rel=0.01)
    times = {each["name"]: each["seconds"] for each in both["teachers"]}
    assert times["school"] == pytest.approx(times["other"], rel=0.3) and both["seconds"] == max(
        times.values()
    )


def test_without_limits_or_prices_it_says_so(tmp_path: Path) -> None:
    configure(tmp_path, "http://127.0.0.1:9")
    text = (tmp_path / "config.toml").read_text()
    (tmp_path / "config.toml").write_text(
        text.replace("usd_per_million_input = 0.15\nusd_per_million_output = 0.60\n", "")
    )
    said = coterie(tmp_path, "estimate").stdout
    assert "no limits are configured" in said and "no cost: no prices are configured" in said
