from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.config import Config, TeacherConfig, load_config
from engine.config.named import teachers_of
from engine.config.notes import left_out
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
        (
            'api_key_env = "sk-secret@1234"',
            "expected the name of an environment variable, not the key itself",
        ),
        ('api_key_envs = ["A_KEY", "sk-secret@1234"]', "expected the name of an environment variable"),
        ('extra_body = { a = [{ API_Key = "secret@1" }] }', "API_Key holds a secret"),
        ('headers = { Cookie = "a=secret@" }', "Cookie holds a secret"),
        (
            'base_url = "https://x/v1/chat/completions?key=secret@1"',
            'write "https://x/v1?key=[redacted]"',
        ),
    ],
)
def test_what_cannot_be_sent_is_refused_with_its_place(tmp_path: Path, line: str, message: str) -> None:
    said = faults(
        tmp_path,
        (TEACHER if not line.startswith("base_url") else '[teachers.a]\nmodel = "m"\n') + line + "\n",
    )
    assert message in said
    assert said.startswith("config.toml:")
    assert "secret@" not in said


def test_a_reference_may_stand_wherever_a_secret_can(tmp_path: Path) -> None:
    lines = (
        'headers = { Authorization = "Basic env:A" }\nproxy = "env:B"\nbase_url = "https://x/v1?key=env:C"\n'
    )
    file = tmp_path / "config.toml"
    file.write_text(f'[teachers.a]\nmodel = "m"\n{lines}')
    assert load_config(file).teachers["a"].proxy == "env:B"


@pytest.mark.parametrize(
    "line",
    [
        'server_url = "http://127.0.0.1:8000/v1?key=secret-1"',
        'server_url = "http://me:secret-1@127.0.0.1:8000/v1"',
        'server_command = ["vllm", "serve", "{student}", "--api-key", "secret-1"]',
        'server_command = ["vllm", "serve", "{student}", "--api_key=secret-1"]',
        'server_command = ["x", "{student}", "--hf-token", "secret-1"]',
    ],
)
def test_an_evaluation_server_s_key_would_be_stored(tmp_path: Path, line: str) -> None:
    said = faults(tmp_path, f'[[students]]\nname = "s"\n[students.evaluation]\n{line}\n')
    assert "and it is stored" in said and "secret-1" not in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[daemon]\nhttp = "127.0.0.1:99999"',
            "config.toml:2: daemon.http: expected HOST:PORT with a port from 1 to",
        ),
        ('[daemon]\nhttp = "9187"', "daemon.http: expected"),
        ('[daemon]\nhttp = "localhost:²"', "daemon.http: expected"),
        ('[daemon]\ndevices = ["gpu0"]', 'daemon.devices: "gpu0" is not a device'),
        ('[daemon]\ndevices = ["cpu:0", "auto"]', 'daemon.devices: "auto" is not a device'),
        ('[daemon]\ndevices = ["cpu:0", "cpu:0"]', 'daemon.devices: "cpu:0" is listed twice'),
        (
            '[[students]]\nname = "s"\nbase = "builtin:mino"',
            'config.toml:3: students.s.base: unknown built-in student "mino"; did you mean "mini"?',
        ),
        ('[[students]]\nname = "s"\nbase = "builtin:giga"', "expected one of: nano, micro, mini, nano-t5"),
        (
            '[[students]]\nname = "s"\nevaluation = { server_url = "127.0.0.1:8000" }',
            "students.s.evaluation: server_url: expected a URL",
        ),
    ],
)
def test_what_the_file_alone_shows_to_be_wrong_is_said_with_its_line(
    tmp_path: Path, text: str, message: str
) -> None:
    assert message in faults(tmp_path, text + "\n")


def test_what_the_builtin_teacher_cannot(tmp_path: Path) -> None:
    text = '[teachers.a]\nbuiltin = true\nmodel = "m"\nproxy = "http://proxy.example"\n'
    assert "is reached without a proxy" in faults(tmp_path, text)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('replay = "a.jsonl"\nbase_url = "http://x/v1"', "replay is what a built-in teacher answers with"),
        (
            'builtin = true\nreplay = "a.jsonl"\nstep_error_rate = 0.2',
            "step_error_rate is for a teacher that solves",
        ),
        ('builtin = true\nreplay = "a.jsonl"\nerrors = "systematic"', "errors is for a teacher that solves"),
        ("builtin = true\nreplay = []", "teachers.a.replay"),
        ("builtin = true\nreplay = 3", "teachers.a.replay"),
    ],
)
def test_what_replay_does_not_go_with(tmp_path: Path, lines: str, message: str) -> None:
    assert message in faults(tmp_path, f'[teachers.a]\nmodel = "m"\n{lines}\n')


def test_a_teacher_replays_one_file_or_several() -> None:
    own = {"builtin": True, "model": "m", "latency_ms": 1.0, "fault": "500=0.1"}
    given = (None, "a.jsonl", ["a.jsonl", "b.jsonl"])
    found = [TeacherConfig.model_validate({**own, "replay": each}).recordings for each in given]
    assert found == [(), ("a.jsonl",), ("a.jsonl", "b.jsonl")]


BUILT_IN = {"builtin": True, "model": "practice-large"}
REAL = {"base_url": "https://api.example.com/v1", "model": "m"}


@pytest.mark.parametrize(
    ("plan", "asked", "said"),
    [
        ({}, ["gpt"], True),
        ({"teachers": ["*"]}, ["gpt"], True),
        ({"teachers": ["*", "practice"]}, ["practice", "gpt"], False),
        ({"teachers": ["practice"]}, ["practice"], False),
        ({"teachers": ["practice", "gpt"]}, ["practice", "gpt"], False),
        ({"fallback_teachers": ["gpt"]}, ["practice"], False),
        ({"fallback_teachers": ["practice"]}, ["gpt"], False),
    ],
)
def test_a_star_leaves_the_built_in_teacher_out_where_there_is_another(
    plan: dict[str, Any], asked: list[str], said: bool
) -> None:
    config = Config.model_validate(
        {"teachers": {"practice": BUILT_IN, "gpt": REAL}, "plans": [{"name": "p", **plan}]}
    )
    assert teachers_of(config.plans[0], config.teachers) == asked
    notes = list(left_out(config))
    assert len(notes) == said
    if said:
        assert "leaves out the built-in teacher practice, because there is gpt" in notes[0]
        assert 'teachers = ["*", "practice"]' in notes[0]


def test_settings_of_the_built_in_teachers_server_are_noted_where_there_is_none() -> None:
    server = {"latency_ms": 5.0, "fault": "429:0.1"}
    config = Config.model_validate(
        {
            "teachers": {"practice": {**BUILT_IN, **server}, "gpt": {**REAL, **server}, "fine": REAL},
            "plans": [{"name": "p", "teachers": ["fine"]}],
        }
    )
    (note,) = left_out(config)
    assert note.startswith("teachers.gpt: latency_ms and fault have no effect") and "builtin = true" in note


def test_a_configuration_without_work_is_noted() -> None:
    (note,) = left_out(Config.model_validate({"teachers": {"fine": REAL}}))
    assert note == (
        "there is nothing to do without [[plans]] and [[students]]: `coterie init` writes a whole configuration"
    )


def test_a_star_means_the_built_in_teachers_where_there_is_no_other() -> None:
    config = Config.model_validate({"teachers": {"a": BUILT_IN, "b": BUILT_IN}, "plans": [{"name": "p"}]})
    assert teachers_of(config.plans[0], config.teachers) == ["a", "b"]
    assert not list(left_out(config))


def test_what_a_left_out_teacher_cannot_do_is_no_mistake() -> None:
    """The practice teacher returns one rationale per request by this dialect, but it is not asked."""
    built_in = {"builtin": True, "model": "practice-large", "dialect": "openai-batch"}
    plan = {"name": "p", "per_request": 4}
    Config.model_validate({"teachers": {"practice": built_in, "gpt": REAL}, "plans": [plan]})


@pytest.mark.parametrize(
    ("dialect", "url", "base"),
    [
        ("openai-chat", "https://x.example/v1/chat/completions", "https://x.example/v1"),
        ("openai-chat", "https://x.example/v1/chat/completions/", "https://x.example/v1"),
        (
            "openai-chat",
            "https://x.example/d/chat/completions?api-version=1",
            "https://x.example/d?api-version=1",
        ),
        ("openai-batch", "https://x.example/v1/chat/completions", "https://x.example/v1"),
        ("openai-completions", "https://x.example/v1/completions", "https://x.example/v1"),
        ("openai-completions", "https://x.example/v1/chat/completions", "https://x.example/v1"),
        ("openai-responses", "https://x.example/v1/responses", "https://x.example/v1"),
        ("anthropic-messages", "https://x.example/v1/messages", "https://x.example/v1"),
        ("openai-chat", "https://x.example/messages", None),
        ("openai-chat", "https://x.example", None),
    ],
)
def test_an_endpoint_in_base_url_is_refused_with_the_right_one(
    dialect: str, url: str, base: str | None
) -> None:
    config = {"teachers": {"a": {"model": "m", "dialect": dialect, "base_url": url}}}
    if base is None:
        Config.model_validate(config)
        return
    with pytest.raises(ValueError, match="which is added to it for each request") as caught:
        Config.model_validate(config)
    assert f'write "{base}"' in str(caught.value)
