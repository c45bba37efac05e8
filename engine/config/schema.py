"""The JSON Schema of `config.toml`, made from the models: what editors check and complete, and what the docs are made of.

Draft 2020-12. TOML has no null: a key that may be unset is left out, so the schema names only the values it takes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema, to_jsonable_python

from engine.config.base import MOST
from engine.config.root import Config

DIALECT = GenerateJsonSchema.schema_dialect
BOUNDS = (MOST, 1e9)
"""Upper bounds that only keep numbers within the database's 64 bits: not shown."""


class _Generate(GenerateJsonSchema):
    """Adds the defaults that a factory makes."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        factory = schema.get("default_factory")
        if factory is not None and not schema.get("default_factory_takes_data"):
            value = to_jsonable_python(factory())  # type: ignore[call-arg]
            made = {**made, "default": value if isinstance(value, list) else {}}
        return made


def config_schema() -> dict[str, Any]:
    """The schema, as plain values."""
    cleaned: dict[str, Any] = _clean(Config.model_json_schema(schema_generator=_Generate))
    return {"$schema": DIALECT, **cleaned, "title": "Coterie: config.toml"}


def schema_text() -> str:
    """The same as a file."""
    return json.dumps(config_schema(), indent=2, ensure_ascii=False) + "\n"


def _clean(value: Any) -> Any:
    """Without generated titles, nulls and technical bounds."""
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if not isinstance(value, dict):
        return value
    cleaned = dict(_kept(value))
    variants = cleaned.get("anyOf")
    if isinstance(variants, list):
        variants = [item for item in variants if item != {"type": "null"}]
        if len(variants) == 1:
            cleaned = {**variants[0], **{key: item for key, item in cleaned.items() if key != "anyOf"}}
        else:
            cleaned["anyOf"] = variants
    return cleaned


def _kept(value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if key == "title" and isinstance(item, str):
            continue
        if key == "default" and item is None:
            continue
        if key == "maximum" and item in BOUNDS:
            continue
        yield key, (item if key == "default" else _clean(item))
