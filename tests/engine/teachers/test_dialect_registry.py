"""What each dialect can do, that its guards hold at every path, and that nothing else knows its name."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from engine.config import TeacherConfig
from engine.teachers.batch_client import BatchClient
from engine.teachers.client import TeacherClient
from engine.teachers.dialects import DEFAULT, DIALECTS, BatchSettings, Dialect, DialectSettings, dialect
from engine.teachers.dialects.base import RESERVED, STREAMING
from engine.teachers.dialects.paths import value_at
from engine.teachers.messages import Message, Request
from engine.teachers.transport import make_client

ROOT = Path(__file__).resolve().parents[3]
CAPABILITIES = (
    *("supports_n", "supports_logprobs", "builtin", "limits_count_cached", "transport", "identity"),
    *("key_header", "settings"),
)
TABLE: dict[str, tuple[object, ...]] = {
    "openai-chat": (True, True, True, True, "requests", "openai-chat", "Authorization", DialectSettings),
    "anthropic-messages": (
        *(False, False, True, False, "requests", "anthropic-messages", "x-api-key", DialectSettings),
    ),
    "openai-completions": (
        *(True, True, True, True, "requests", "openai-completions", "Authorization", DialectSettings),
    ),
    "openai-responses": (
        *(False, True, True, True, "requests", "openai-responses", "Authorization", DialectSettings),
    ),
    "openai-batch": (False, True, True, True, "batches", "openai-chat", "Authorization", BatchSettings),
}
ASK = Request(
    messages=(Message("user", "2 + 2?"),), temperature=0.7, top_p=0.9, max_tokens=64, seed=3, stop=("END",)
)
EACH = pytest.mark.parametrize("name", list(DIALECTS))


def config(name: str, **settings: Any) -> TeacherConfig:
    return TeacherConfig.model_validate(
        {"dialect": name, "base_url": "https://api.example/v1", "model": "m", **settings}
    )


def refusal(name: str, **settings: Any) -> str:
    """Why the configuration of a teacher is refused; empty where it is not."""
    try:
        config(name, **settings)
    except ValidationError as error:
        return str(error)
    return ""


def nested(path: str, value: object) -> dict[str, Any]:
    for name in reversed(path.split(".")):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def test_the_registry() -> None:
    assert list(DIALECTS) == list(TABLE), "the default first, those served by batches last"
    assert next(iter(DIALECTS)) == DEFAULT
    assert TeacherConfig(model="m", builtin=True).dialect == DEFAULT


@EACH
def test_capabilities(name: str) -> None:
    each = dialect(name)
    assert tuple(getattr(each, fact) for fact in CAPABILITIES) == TABLE[name]
    assert each.documentation and "|" not in each.documentation
    assert (each.transport == "batches") == issubclass(each.settings, BatchSettings)


@EACH
def test_each_capability_decides_what_the_configuration_allows(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = dialect(name)
    builtin = {"dialect": name, "builtin": True, "model": "m"}
    assert TeacherConfig.model_validate(builtin).dialect == name
    monkeypatch.setitem(DIALECTS, name, replace(each, builtin=False))
    with pytest.raises(ValidationError, match="the built-in teacher speaks"):
        TeacherConfig.model_validate(builtin)
    own = refusal(name, batch_discount=0.25)
    if each.transport == "batches":
        assert own == "" and config(name, batch_discount=0.25).settings.price_share == 0.75
    else:
        assert 'batch_discount is only for dialect = "openai-batch": remove it' in own
        assert config(name).settings.price_share == 1


@EACH
def test_no_token_limit_and_nothing_that_the_plan_decides_is_set_by_extra_body(name: str) -> None:
    fields = dialect(name).fields
    limits = ("max_tokens", "max_output_tokens", "max_completion_tokens", fields.token_limit)
    for path in {*RESERVED, *limits, *fields.reserved} - set(fields.replacing_limits):
        said = refusal(name, extra_body=nested(path, 9))
        assert f"{path} cannot be set here" in said, path
    for path in (*STREAMING, *fields.streaming):
        assert f"{path} cannot be used" in refusal(name, extra_body=nested(path, True)), path
        assert refusal(name, extra_body=nested(path, False)) == ""


@EACH
def test_a_limit_that_may_be_set_is_never_above_what_is_reserved(name: str) -> None:
    each = dialect(name)
    for path in each.fields.replacing_limits:
        for wrong in ("many", 0, True, 2.5):
            assert f"{path}: expected a whole number from 1" in refusal(name, extra_body=nested(path, wrong))
        for asked, sent in ((40, 40), (900, 64)):
            _, body = each.compose(ASK, "m", nested(path, asked))
            assert value_at(body, path) == sent
            assert value_at(body, each.fields.token_limit) is None
    _, body = each.compose(ASK, "m", {})
    assert value_at(body, each.fields.token_limit) == 64


@EACH
def test_the_token_limit_is_in_the_field_that_the_teacher_names(name: str) -> None:
    each = dialect(name)
    for path in each.fields.limits:
        assert refusal(name, max_tokens_field=path) == ""
        _, body = each.compose(ASK, "m", {}, limit_field=path)
        assert [value_at(body, limit) for limit in each.fields.limits] == [
            64 if limit == path else None for limit in each.fields.limits
        ]
    assert f"max_tokens_field: {name} has no 'n_predict'; expected" in refusal(
        name, max_tokens_field="n_predict"
    )
    for path in each.fields.replacing_limits:
        _, body = each.compose(ASK, "m", nested(path, 40), limit_field=path)
        assert value_at(body, path) == 40, "extra_body may ask for fewer"
        said = refusal(name, max_tokens_field=each.fields.token_limit, extra_body=nested(path, 40))
        assert f"extra_body sets {path}, max_tokens_field another field" in said


@EACH
def test_streams_are_configured_where_the_dialect_has_them(name: str) -> None:
    for mode in ("auto", False):
        assert refusal(name, stream=mode) == ""
    assert bool(refusal(name, stream=True)) is (dialect(name).streaming is None)
    assert refusal(name, stream="always") and refusal(name, stream=1)


def test_a_refused_stream_key_names_the_teacher_s_own() -> None:
    assert "the teacher's key stream" in refusal(DEFAULT, extra_body={"stream": True})


@EACH
def test_omitted_parameters_are_not_sent_wherever_they_are(name: str) -> None:
    each = dialect(name)
    _, whole = each.compose(ASK, "m", {})
    for parameter, place in each.fields.parameters.items():
        assert value_at(whole, place) is not None, f"{place} holds {parameter}"
        _, body = each.compose(ASK, "m", {}, [parameter])
        assert value_at(body, place) is None
        assert body.keys() == whole.keys() - {place}
        said = refusal(name, omit=[parameter], extra_body=nested(place, 1))
        assert f"{parameter} is in both extra_body and omit" in said
    unknown = [
        each
        for each in ("temperature", "top_p", "seed", "stop")
        if each not in dialect(name).fields.parameters
    ]
    assert each.compose(ASK, "m", {}, unknown)[1] == whole


def test_guards_hold_in_nested_bodies() -> None:
    fields = replace(
        dialect(DEFAULT).fields,
        token_limit="generationConfig.maxOutputTokens",
        replacing_limits=("generationConfig.thinking.maxTokens",),
        reserved=("contents",),
        parameters={"temperature": "generationConfig.temperature"},
    )
    inner: dict[str, object] = {"temperature": 1, "thinking": {"maxTokens": 900}, "topK": 3}
    other: Dialect = replace(
        dialect(DEFAULT),
        fields=fields,
        build=lambda request, model, extra: ("/x", {"generationConfig": inner}),
    )
    _, body = other.compose(ASK, "m", {}, ["temperature"])
    assert body == {"generationConfig": {"thinking": {"maxTokens": 64}, "topK": 3}}
    assert inner == {"temperature": 1, "thinking": {"maxTokens": 900}, "topK": 3}
    assert "generationConfig.maxOutputTokens" in fields.all_reserved
    assert "generationConfig.thinking.maxTokens" not in fields.all_reserved


@pytest.mark.anyio
@EACH
async def test_the_transport_selects_the_client(name: str) -> None:
    async with make_client(config(name)) as client:
        assert isinstance(client, TeacherClient)
        assert isinstance(client, BatchClient) == (dialect(name).transport == "batches")


NAMED = {
    *("daemon/cli/export.py", "daemon/cli/push.py", "engine/data_card.py", "engine/export_formats.py"),
    "daemon/cli/starters.py",
}
"""`coterie export --format openai-chat` is named after OpenAI's fine-tuning format; `coterie init` writes names of dialects."""


def test_nothing_else_compares_the_name_of_a_dialect() -> None:
    found = []
    for room in ("state", "engine", "daemon", "tui"):
        for path in sorted((ROOT / room).rglob("*.py")):
            place = path.relative_to(ROOT).as_posix()
            if place.startswith("engine/teachers/dialects/") or place in NAMED:
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"))
            texts = [
                node.value
                for node in ast.walk(tree)
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value
            ]
            quoted = {f"{mark}{name}{mark}" for name in DIALECTS for mark in "'\""}
            found += [
                f"{place}: {text}"
                for text in texts
                if text in DIALECTS or any(each in text for each in quoted)
            ]
    assert found == []
