"""What of a new configuration is taken over at once, what waits, and how it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from daemon.catalog.config_diff import differences, readdressed, takeable
from engine.config import Config, TeacherConfig
from engine.config.base import Change, Section, fields_marked
from tests.daemon.parts import config_of

FOLDER = Path("/somewhere")
TEACHER = {"base_url": "http://a/v1", "model": "m"}
BUILTIN = {"builtin": True, "model": "practice-large", "concurrency": 4}


def configured(**sections: Any) -> Config:
    whole = {
        "teachers": {"a": TEACHER},
        "tasks": {"t": {"source": "t.jsonl", "answer": "number"}},
        "plans": [{"name": "p"}],
        **sections,
    }
    return config_of(FOLDER, **whole)


def taken(now: Config, wanted: Config) -> tuple[Config, tuple[str, ...]]:
    return takeable(now, wanted, now.teachers)


@pytest.mark.parametrize(
    ("sections", "later"),
    [
        ({"daemon": {"budget_usd": 3.0, "drain_seconds": 1.0, "env_file": "keys"}}, ()),
        ({"teachers": {"a": {**TEACHER, "base_url": "http://b/v1", "concurrency": 3}}}, ()),
        ({"teachers": {"a": TEACHER, "b": BUILTIN}}, ()),
        ({"plans": [], "tasks": {}}, ()),
        ({"students": [{"name": "s"}]}, ()),
        ({"state": {"url": "sqlite:///other.db"}}, ("[state] url",)),
        ({"state": {"runs": "elsewhere"}}, ("[state] runs",)),
        (
            {"daemon": {"http": "127.0.0.1:1", "devices": ["cpu:0"], "log_file": ""}},
            ("[daemon] http", "[daemon] devices", "[daemon] log_file"),
        ),
    ],
    ids=str,
)
def test_everything_is_taken_over_but_the_place_of_things(
    sections: dict[str, Any], later: tuple[str, ...]
) -> None:
    now, wanted = configured(), configured(**sections)
    config, waits = taken(now, wanted)
    assert waits == later and config.folder == FOLDER
    assert config.state == now.state
    for name in ("http", "devices", "log_file"):
        assert getattr(config.daemon, name) == getattr(now.daemon, name)
    assert (config.teachers, config.tasks, config.plans, config.students) == (
        wanted.teachers,
        wanted.tasks,
        wanted.plans,
        wanted.students,
    )


def test_a_builtin_teachers_own_server_stays_as_it_is() -> None:
    now = configured(teachers={"b": BUILTIN})
    wanted = configured(teachers={"b": {**BUILTIN, "latency_ms": 5, "concurrency": 9}})
    config, later = taken(now, wanted)
    assert config.teachers["b"].latency_ms == now.teachers["b"].latency_ms
    assert config.teachers["b"].concurrency == 9
    assert later == ("teachers.b.latency_ms", "teachers.b.concurrency of its own server")


def test_a_teacher_cannot_become_built_in_while_it_runs_and_one_that_came_back_is_as_it_ran() -> None:
    now = configured(teachers={"a": TEACHER})
    wanted = configured(teachers={"a": BUILTIN})
    config, later = taken(now, wanted)
    assert config.teachers["a"] == now.teachers["a"] and later == ("teachers.a.builtin",)
    gone = configured(teachers={})
    config, later = takeable(gone, wanted, now.teachers)
    assert config.teachers["a"] == now.teachers["a"] and later == ("teachers.a.builtin",)


def test_what_makes_another_address() -> None:
    before = TeacherConfig.model_validate(TEACHER)
    assert not readdressed(before, before.model_copy(update={"concurrency": 3, "budget_usd": 1.0}))
    other = {
        "base_url": "http://b/v1",
        "proxy": "http://b:1",
        "model": "n",
        "dialect": "openai-completions",
        "headers": {"X-A": "b"},
        "extra_body": {"a": 1},
        "timeout_seconds": 3.0,
    }
    assert set(fields_marked(TeacherConfig, Change.RECONNECT)) >= set(other)
    for name, value in other.items():
        assert readdressed(before, before.model_copy(update={name: value})), name


def test_differences_are_named_as_they_are_written() -> None:
    old = configured(
        plans=[{"name": "p"}, {"name": "q"}], students=[{"name": "s", "training": {"epochs": 3}}]
    )
    new = configured(
        daemon={"budget_usd": 3.0},
        teachers={"a": {**TEACHER, "headers": {"X-A": "b"}}, "b": BUILTIN},
        plans=[{"name": "q"}, {"name": "p", "rationales": 9}],
        students=[{"name": "s", "training": {"epochs": 4}}],
        tasks={},
    )
    assert differences(old, old) == ()
    assert set(differences(old, new)) == {
        "daemon.budget_usd",
        "teachers.a.headers.X-A (new)",
        "teachers.b (new)",
        "plans.p.rationales",
        "students.s.training.epochs",
        "tasks.t (gone)",
    }


def models(model: type[Section]) -> set[type[Section]]:
    """A model and those within it."""
    found = {model}
    for field in model.model_fields.values():
        for each in (field.annotation, *get_args(field.annotation)):
            for inner in (each, *get_args(each)):
                if isinstance(inner, type) and issubclass(inner, Section):
                    found |= models(inner)
    return found


def test_only_marked_fields_wait_for_a_restart() -> None:
    """A mark elsewhere would have no effect: `takeable` looks at these sections alone."""
    found = {
        (model.__name__, name): mark
        for model in models(Config)
        for mark in Change
        for name in fields_marked(model, mark)
    }
    assert {model for model, _ in found} == {"StateConfig", "DaemonConfig", "TeacherConfig"}
    restarts = {place for place, mark in found.items() if mark is Change.RESTART}
    assert restarts == {
        *(("StateConfig", name) for name in ("url", "runs")),
        *(("DaemonConfig", name) for name in ("http", "devices", "log_file", "shared_limits", "traces")),
        *(("TeacherConfig", name) for name in ("builtin", "student")),
    }
    for mark, names in (
        (
            Change.RECONNECT,
            {"base_url", "model", "dialect", "headers", "extra_body", "timeout_seconds"}
            | {"stream", "max_tokens_field", "omit", "api_key_header", "proxy", "base_urls"},
        ),
        (Change.SERVER, {"step_error_rate", "errors", "latency_ms", "fault", "replay"}),
        (Change.SERVER_LIMIT, {"requests_per_minute", "tokens_per_minute", "concurrency"}),
    ):
        assert set(fields_marked(TeacherConfig, mark)) == names
