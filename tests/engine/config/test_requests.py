"""What plans ask for against what their teachers can be asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import load_config
from engine.errors import ConfigError

CHAT = '[teachers.gpt]\nmodel = "m"\nbase_url = "https://api.example/v1"\n'
MESSAGES = (
    '[teachers.messages]\nmodel = "c"\nbase_url = "https://api.example/v1"\ndialect = "anthropic-messages"\n'
)
PLAN = '[[plans]]\nname = "diverse"\n'


def load(tmp_path: Path, text: str) -> str:
    """What is wrong with it, or nothing."""
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    try:
        load_config(file)
    except ConfigError as error:
        return error.message.replace(f"{tmp_path}/", "")
    return ""


@pytest.mark.parametrize(
    ("line", "said", "able"),
    [
        (
            "per_request = 4",
            "plans.diverse.per_request: teacher messages (anthropic-messages) returns one rationale",
            "openai-chat or openai-completions",
        ),
        (
            "logprobs = 5",
            "plans.diverse.logprobs: teacher messages (anthropic-messages) returns no log-prob",
            "openai-chat, openai-completions, openai-responses or openai-batch",
        ),
    ],
)
def test_what_a_dialect_does_not_know_is_refused_with_its_teacher(
    tmp_path: Path, line: str, said: str, able: str
) -> None:
    message = load(tmp_path, CHAT + MESSAGES + PLAN + line + "\n")
    assert message.startswith("config.toml:10: " + said)
    assert message.endswith(f"or use teachers that speak {able}")
    alone = CHAT + MESSAGES + PLAN + line + '\nteachers = ["gpt"]\n'
    assert load(tmp_path, alone) == ""
    assert load(tmp_path, alone + 'fallback_teachers = ["messages"]\n').startswith("config.toml:10: " + said)
    assert load(tmp_path, CHAT + MESSAGES + PLAN + "per_request = 1\nlogprobs = 0\n") == ""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("per_request = 0", "at least 1 (got 0)"),
        ("per_request = 33", "at most 32 (got 33)"),
        ("logprobs = 21", "at most 20 (got 21)"),
        ('stop = ["a", ""]', "an empty stop string would end every answer at once"),
        ('stop = ["1", "2", "3", "4", "5"]', "at most 4"),
        ('stop = "END"', "stop"),
    ],
)
def test_options_out_of_bounds(tmp_path: Path, line: str, said: str) -> None:
    message = load(tmp_path, CHAT + PLAN + line + "\n")
    assert "plans.diverse" in message and said in message


@pytest.mark.parametrize(
    "field",
    [
        "n = 4",
        "best_of = 2",
        "max_tokens = 9",
        "max_output_tokens = 9",
        "max_new_tokens = 9",
        "num_predict = 9",
    ],
)
def test_what_decides_the_reservation_has_no_place_in_extra_body(tmp_path: Path, field: str) -> None:
    message = load(tmp_path, CHAT + f"extra_body = {{ {field} }}\n" + PLAN)
    assert f"{field.split()[0]} cannot be set here" in message


def test_more_completion_tokens_than_a_plan_reserves_are_refused(tmp_path: Path) -> None:
    extra = "extra_body = { max_completion_tokens = 4096 }\n"
    message = load(tmp_path, CHAT + extra + PLAN)
    assert message == (
        "config.toml:5: plans.diverse.max_tokens: 256 tokens are reserved, but extra_body of teacher gpt sets"
        " max_completion_tokens = 4096: set max_tokens to 4096 or more"
    )
    assert load(tmp_path, CHAT + extra + PLAN + "max_tokens = 4096\n") == ""
    for wrong in ('"many"', "0", "true", "2.5"):
        said = load(tmp_path, CHAT + f"extra_body = {{ max_completion_tokens = {wrong} }}\n" + PLAN)
        assert "max_completion_tokens: expected a whole number from 1" in said
