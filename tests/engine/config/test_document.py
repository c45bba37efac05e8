from __future__ import annotations

from pathlib import Path

from engine.config import Config, document, load_config
from engine.config.schema import config_schema


def test_the_configuration_page_is_what_the_models_say() -> None:
    written = document.TARGET.read_text(encoding="utf-8")
    assert written == document.document(), "run: python -m engine.config.document"


def test_its_example_loads(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(document.EXAMPLE, encoding="utf-8")
    assert load_config(file).plans[0].name == "diverse"


def test_its_teachers_load(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(document.APIS, encoding="utf-8")
    assert list(load_config(file).teachers) == ["claude", "reasoner", "azure", "vllm"]


def test_its_tasks_and_strategies_load(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(document.MORE, encoding="utf-8")
    assert [plan.strategy for plan in load_config(file).plans] == [
        "zero-shot-cot-chat",
        "rationalize",
        "few-shot-cot",
    ]


def test_every_section_is_described_and_every_key_has_a_meaning() -> None:
    definitions = config_schema()["$defs"]
    described = {name for _, name, _ in document.SECTIONS}
    assert described == set(definitions)
    for name in described:
        for key, field in definitions[name]["properties"].items():
            assert field.get("description"), f"{name}.{key} has no docstring"
            if "$ref" in field:
                assert field["$ref"].removeprefix("#/$defs/") in described
    assert len(Config.model_fields) == len(
        {title.strip("[]").partition("]")[0].split(".")[0] for title, _, _ in document.SECTIONS}
    )
