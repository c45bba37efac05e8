from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import load_config
from engine.errors import ConfigError

TEACHER = '[teachers.a]\nmodel = "m"\nbase_url = "https://api.example/v1"\n'


def faults(tmp_path: Path, text: str) -> str:
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    return caught.value.message.replace(f"{tmp_path}/", "")


def test_extra_body_may_be_nested(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        TEACHER
        + 'omit = ["temperature"]\n[teachers.a.extra_body]\nthinking = { type = "enabled", budget_tokens = 1024 }\n'
        + 'stop = ["a", "b"]\nscore = 1.5\nlogprobs = true\n'
    )
    teacher = load_config(file).teachers["a"]
    assert teacher.extra_body == {
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "stop": ["a", "b"],
        "score": 1.5,
        "logprobs": True,
    }
    assert teacher.omit == ["temperature"]


DEEP = "{a=" * 20 + "1" + "}" * 20


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("extra_body = { a = { b = [1, nan] } }", "teachers.a.extra_body: a.b[1]: expected a finite number"),
        ("extra_body = { a = { day = 2026-01-01 } }", "a.day: expected text, a number"),
        (f"extra_body = {DEEP}", "nested too deep: expected at most 16"),
        ("extra_body = { stream = true }", "stream cannot be used"),
        ("extra_body = { background = true }", "background cannot be used"),
        ("extra_body = { max_tokens = 9 }", "max_tokens cannot be set here"),
        ('omit = ["model"]', 'expected "temperature", "top_p", "seed" or "stop" (got "model")'),
        ('omit = ["seed"]\nextra_body = { seed = 3 }', "seed is in both extra_body and omit"),
        ('api_key_header = "api key"', "expected a header's name of letters, digits and '-'"),
        ('headers = { Authorization = "Bearer x" }', "Authorization holds a secret"),
        ("batch_poll_seconds = 5", 'batch_poll_seconds is only for dialect = "openai-batch": remove it'),
        ('dialect = "openai-batch"\nbatch_requests = 50001', "expected a number of at most 50000"),
        ('proxy = "proxy.example:3128"', "expected a URL such as http://proxy.example:3128"),
        ('proxy = "socks5://proxy.example"', "expected a URL such as http://proxy.example:3128"),
        ('proxy = "http://proxy.example:99999"', "expected a URL such as http://proxy.example:3128"),
        ('proxy = "http://me:secret@proxy.example"', "a user name or password would be stored"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_its_place(tmp_path: Path, line: str, message: str) -> None:
    said = faults(tmp_path, TEACHER + line + "\n")
    assert message in said
    assert said.startswith("config.toml:")
    assert "secret@" not in said


def test_what_the_builtin_teacher_cannot(tmp_path: Path) -> None:
    text = '[teachers.a]\nbuiltin = true\nmodel = "m"\nproxy = "http://proxy.example"\n'
    assert "is reached without a proxy" in faults(tmp_path, text)
