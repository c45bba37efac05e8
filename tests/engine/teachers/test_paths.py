"""Dotted paths into request bodies."""

from __future__ import annotations

from typing import Any

import pytest

from engine.teachers.dialects.paths import lower, merge, overrides, remove, value_at

LIMIT = "generationConfig.maxOutputTokens"


@pytest.mark.parametrize(
    ("extra", "place"),
    [
        ({}, ""),
        ({"generationConfig": {}}, ""),
        ({"generationConfig": {"topK": 40}}, ""),
        ({"maxOutputTokens": 5}, ""),
        ({"generationConfig": {"maxOutputTokens": 5}}, LIMIT),
        ({"generationConfig": {"maxOutputTokens": None}}, LIMIT),
        ({"generationConfig": 5}, "generationConfig"),
        ({"generationConfig": [{"maxOutputTokens": 5}]}, "generationConfig"),
    ],
    ids=str,
)
def test_what_sets_a_path_is_found_with_its_place(extra: dict[str, Any], place: str) -> None:
    assert overrides(extra, LIMIT) == place


def test_tables_are_merged_and_never_changed() -> None:
    body: dict[str, Any] = {"a": {"x": 1, "y": {"z": 2}}, "b": [1]}
    extra = {"a": {"y": {"w": 3}}, "b": [2], "c": {"d": 4}}
    merge(body, extra)
    assert body == {"a": {"x": 1, "y": {"z": 2, "w": 3}}, "b": [2], "c": {"d": 4}}
    assert extra == {"a": {"y": {"w": 3}}, "b": [2], "c": {"d": 4}}
    lower(body, "c.d", 1)
    remove(body, "a.y.w")
    assert body == {"a": {"x": 1, "y": {"z": 2}}, "b": [2], "c": {"d": 1}}
    assert extra == {"a": {"y": {"w": 3}}, "b": [2], "c": {"d": 4}}, "it belongs to the configuration"


def test_what_is_not_there_is_left_alone() -> None:
    body: dict[str, Any] = {"a": {"x": "many"}, "b": 3}
    for path in ("a.x", "a.y", "b.x", "c", "c.d"):
        lower(body, path, 1)
    for path in ("a.y", "b.x", "c", "c.d"):
        remove(body, path)
    assert body == {"a": {"x": "many"}, "b": 3}
    assert value_at(body, "a.x") == "many"
    assert value_at(body, "b.x") is None and value_at(body, "c.d") is None
