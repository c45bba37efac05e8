from __future__ import annotations

import pytest

from engine.config import Config, TeacherConfig, resolved
from engine.config.secret_places import shown_url
from engine.errors import ConfigError, CoterieError, SecretError
from engine.teachers.endpoint import endpoint

ENVIRON = {
    "KEY": "sk-canary-1234",
    "URL": "https://api.example/a-long-path-key-5678/v1?sig=s%2Bcanary/9012",
    "PROXY": "http://someone:canary%40pass@proxy.example:3128",
    "SHORT": "x1",
    "LINES": "one\ntwo-canary",
}


def teacher(**settings: object) -> TeacherConfig:
    return TeacherConfig.model_validate({"base_url": "https://api.example/v1", "model": "m", **settings})


@pytest.mark.parametrize(
    ("settings", "secrets"),
    [
        ({}, set()),
        ({"headers": {"X-Title": "my-own-title-1", "OpenAI-Organization": "org-12345678"}}, set()),
        ({"headers": {"X-Subject": "mathematics", "X-A": "b1"}}, set()),
        ({"headers": {"X-Gateway": "sk-canary-1234"}}, {"sk-canary-1234"}),
        ({"headers": {"X-Title": "env:KEY"}}, {"sk-canary-1234"}),
        ({"headers": {"Authorization": "Token env:KEY"}}, {"Token sk-canary-1234", "sk-canary-1234"}),
        ({"base_url": "https://api.example/v1?api-version=2024-10-21"}, set()),
        ({"base_url": "https://api.example/v1?key=sk-canary-1234&a=b"}, {"sk-canary-1234"}),
        ({"base_url": "https://api.example/v1?key=env:KEY"}, {"sk-canary-1234"}),
        ({"base_url": "https://api.example/v1?sk-canary-1234"}, {"sk-canary-1234"}),
        (
            {"base_url": "env:URL"},
            {ENVIRON["URL"], "a-long-path-key-5678", "s%2Bcanary/9012", "s+canary/9012", "s%2Bcanary%2F9012"},
        ),
        ({"proxy": "env:PROXY"}, {"canary%40pass", "canary@pass", "c29tZW9uZTpjYW5hcnlAcGFzcw=="}),
        ({"headers": {"X-Gateway": "env:SHORT"}}, set()),
    ],
)
def test_what_is_taken_out_of_responses(settings: dict[str, object], secrets: set[str]) -> None:
    found = endpoint("t", teacher(**settings), ENVIRON)
    assert set(found.secrets) >= secrets
    assert secrets or not found.secrets
    assert "canary" not in repr(found) + repr(teacher(**settings))
    assert list(found.secrets) == sorted(found.secrets, key=len, reverse=True)


def test_values_take_the_place_of_references() -> None:
    given = teacher(
        base_url="https://api.example/v1?a=1&key=env:URL&b=env:SHORT",
        proxy="env:PROXY",
        headers={"X-A": "env:KEY", "X-B": "env"},
    )
    found = endpoint("t", given, ENVIRON)
    assert found.headers == {"X-A": "sk-canary-1234", "X-B": "env"}
    assert found.proxy == ENVIRON["PROXY"]
    assert found.base_url.startswith("https://api.example/v1?a=1&key=https%3A%2F%2Fapi")
    assert found.base_url.endswith("&b=x1")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"headers": {"X-A": "env:NONE"}},
            "teachers.t.headers.X-A: the environment variable NONE is not set",
        ),
        ({"headers": {"X-A": "env:LINES"}}, "the environment variable LINES contains line breaks"),
        ({"base_url": "env:KEY"}, "teachers.t: base_url 'env:KEY' is not a valid URL"),
        (
            {"base_url": "api.example?key=sk-canary-1"},
            "teachers.t: base_url 'api.example?key=[redacted]' is not",
        ),
        ({"base_url": "https://me:canary@api.example/v1"}, "base_url contains a user name or a password"),
        ({"proxy": "env:KEY"}, "teachers.t.proxy: expected a URL"),
        ({"headers": {"X-A": "a\ncanary"}}, "teachers.t.headers: 'X-A' contains line breaks"),
    ],
)
def test_what_cannot_be_used_is_said_without_its_value(settings: dict[str, object], message: str) -> None:
    with pytest.raises((ConfigError, SecretError)) as caught:
        endpoint("t", teacher(**settings), ENVIRON)
    assert isinstance(caught.value, CoterieError) and message in caught.value.message
    assert "canary" not in caught.value.message


def test_a_stored_configuration_names_places_and_no_secrets() -> None:
    url = "https://me:canary@api.example/v1?api-version=1&key=canary-1&sig=env:S"
    headers = {"X-Title": "title", "X-Gateway": "canary-2", "Cookie": "env:COOKIE", "X-Zone": "b"}
    config = Config.model_validate({"teachers": {"t": {"base_url": url, "model": "m", "headers": headers}}})
    stored = resolved(config)["teachers"]["t"]
    assert stored["base_url"] == "https://[redacted]@api.example/v1?api-version=1&key=[redacted]&sig=env:S"
    assert stored["headers"] == {**headers, "X-Gateway": "[redacted]"}
    assert config.teachers["t"].base_url == url, "the configuration itself changed"
    assert shown_url("https://api.example/v1") == "https://api.example/v1"
    assert shown_url("env:URL") == "env:URL"
