from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from state.authors import Author, Authors
from state.daemon_sessions import replace_config
from tests.state.world import World, make, stored


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = make(tmp_path / "state.db")
    yield found
    found.connection.close()


def answer(world: World, body: bytes, teacher: str = "a") -> int:
    (sample,) = world.claim(world.plan(rationales=9), 1, teacher=teacher).samples
    world.record(stored(sample, raw=body))
    return sample.sample_id


def test_the_body_names_the_model(world: World) -> None:
    first = answer(world, b'{"id": "x", "model": "m-2024-05", "choices": [{"model": "other"}]}')
    second = answer(world, b'{"model": "m-2024-08"}', teacher="b")
    found = Authors(world.connection).of([second, first, 99])
    assert found == {
        first: Author("a", "m-2024-05", "openai-chat"),
        second: Author("b", "m-2024-08", "openai-chat"),
    }
    assert found[first].label == "a (m-2024-05)"


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"no json",
        b"[]",
        b'{"model": null}',
        b'{"model": ""}',
        json.dumps({"model": "x" * 999}).encode(),
    ],
)
def test_a_body_without_a_model_leaves_what_was_configured_then(world: World, body: bytes) -> None:
    before = {"teachers": {"a": {"model": "then", "dialect": "openai-completions"}}}
    replace_config(world.connection, world.boot, before)
    old = answer(world, body)
    world.reboot()
    new = answer(world, body)
    found = Authors(world.connection).of([old, new])
    assert found == {old: Author("a", "then", "openai-completions"), new: Author("a", "m", "openai-chat")}


def test_answers_to_one_request_have_one_author(world: World) -> None:
    plan = world.plan(rationales=3, together=3)
    leader, *others = world.claim(plan, 3).samples
    world.record(
        stored(leader, raw=b'{"model": "m-1"}'), *(stored(each, leader=False, raw=None) for each in others)
    )
    found = Authors(world.connection).of([each.sample_id for each in (leader, *others)])
    assert {author.model for author in found.values()} == {"m-1"} and len(found) == 3
