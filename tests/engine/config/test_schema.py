from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from engine.config import document
from engine.config.schema import config_schema, schema_text
from tests.daemon.site import coterie
from tests.lazily import Lazy

jsonschema = Lazy("jsonschema")

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = config_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def faults(validator: Any, text: str) -> list[str]:
    found = validator.iter_errors(tomllib.loads(text))
    return ["/".join(str(part) for part in error.absolute_path) + ": " + error.message for error in found]


def test_the_published_schema_is_what_the_models_say() -> None:
    assert document.SCHEMA.read_text(encoding="utf-8") == schema_text(), (
        "run: python -m engine.config.document"
    )


def test_config_toml_names_the_schema_and_satisfies_it(validator: Any) -> None:
    text = (ROOT / "config.toml").read_text(encoding="utf-8")
    named = text.splitlines()[0].removeprefix("#:schema ")
    assert (ROOT / named).resolve() == document.SCHEMA
    assert faults(validator, text) == []


def test_a_student_as_a_teacher_needs_no_model(validator: Any) -> None:
    assert faults(validator, '[teachers.me]\nstudent = "s"') == []
    assert faults(validator, '[teachers.me]\nbase_url = "http://x/v1"') != []


@pytest.mark.parametrize("text", [document.EXAMPLE, document.APIS, document.MORE])
def test_the_examples_of_the_configuration_page_satisfy_it(validator: Any, text: str) -> None:
    assert faults(validator, text) == []


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[daemon]\nbudgetusd = 1", "daemon"),
        ("[daemon]\nbudget_usd = -1", "daemon/budget_usd"),
        ("[teachers.t]\nmodel = 3", "teachers/t/model"),
        ('[tasks.t]\nsource = "x.jsonl"\nanswer = "numbr"', "tasks/t/answer"),
        ('[[plans]]\nname = "p"\nstrategy = "zero-shoot"', "plans/0/strategy"),
        ('[[students]]\nname = "s"\nmethod = "fine-tun"', "students/0/method"),
        ('[[students]]\nname = "s"\ntraining = { zero_stage = 9 }', "students/0/training/zero_stage"),
    ],
)
def test_what_the_models_refuse_an_editor_marks(validator: Any, text: str, where: str) -> None:
    assert any(fault.startswith(f"{where}: ") for fault in faults(validator, text))


def test_a_key_that_may_be_unset_has_no_null_and_a_list_shows_its_default() -> None:
    schema = config_schema()
    assert "null" not in json.dumps(schema)
    assert schema["$defs"]["DaemonConfig"]["properties"]["devices"]["default"] == ["auto"]
    assert "default" not in schema["$defs"]["DaemonConfig"]["properties"]["budget_usd"]


def test_the_command_prints_it_or_writes_it(tmp_path: Path) -> None:
    assert coterie(tmp_path, "config", "schema").stdout == schema_text()
    assert coterie(tmp_path, "config", "schema", "-o", "editor.json").returncode == 0
    assert (tmp_path / "editor.json").read_text(encoding="utf-8") == schema_text()
    refused = coterie(tmp_path, "config", "schema", "-o", "none/editor.json")
    assert refused.returncode == 2
    assert refused.stderr == "coterie: none/editor.json: cannot be written: No such file or directory\n"
