"""The metadata of a student's card, read back as a hub reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from engine.students.card_metadata import license_of, metadata
from tests.engine.students.runs import make_run
from tests.lazily import Lazy

spec = Lazy("engine.students.spec")
hub = Lazy("huggingface_hub")

ROWS = [
    {"split": "dev", "task": "flips", "n": 8, "correct": 6, "accuracy": 0.75, "low": 0.4, "high": 0.9},
    {"split": "test", "task": "a: #b", "n": 3, "correct": 1, "accuracy": 1 / 3, "low": 0.1, "high": 0.8},
]


@pytest.mark.parametrize(
    ("base", "named"),
    [("org/model", "org/model"), ("builtin:nano", None), ("/models/tiny", None), ("x.gguf", None)],
)
def test_a_card_says_base_and_results_in_the_words_of_the_hub(
    tmp_path: Path, base: str, named: str | None
) -> None:
    run = spec.Spec.model_validate_json((make_run(tmp_path / "run", base=base) / "spec.json").read_text())
    card = hub.ModelCard(metadata(run, "text-generation", ROWS) + "\n# A student\n")
    assert (card.data.library_name, card.data.pipeline_tag) == ("transformers", "text-generation")
    assert card.data.base_model == named
    assert [
        (each.dataset_name, each.dataset_split, each.metric_value) for each in card.data.eval_results
    ] == [
        ("flips", "dev", 0.75),
        ("a: #b", "test", 1 / 3),
    ]
    whole = yaml.safe_load(str(card).split("---")[1])
    assert whole["model-index"][0]["name"] == f"{run.student} on {run.scope}"
    assert "model-index" not in metadata(run, "text-generation", [])


def test_a_student_of_students_names_the_model_that_they_come_from(tmp_path: Path) -> None:
    places = {name: tmp_path / name for name in ("one", "other", "builtin")}
    for name, base in (("one", "org/model"), ("other", "org/other"), ("builtin", "builtin:nano")):
        own = spec.Spec.model_validate_json(
            (make_run(tmp_path / f"{name}-run", base=base) / "spec.json").read_text()
        )
        places[name].mkdir()
        (places[name] / "README.md").write_text(metadata(own, "text-generation", []) + "\n# A student\n")

    ours = spec.Spec.model_validate_json(
        (make_run(tmp_path / "run", base=str(places["one"])) / "spec.json").read_text()
    )

    def named(**values: object) -> object:
        return hub.ModelCard(metadata(ours.model_copy(update=values), "text-generation", [])).data.base_model

    def sources(*names: str) -> tuple[object, ...]:
        about = {
            "run_id": 1,
            "scope": "t",
            "role": "member",
            "rows": "",
            "method": "fine-tune-cot",
            "base": "",
        }
        return tuple(spec.SourceStudent(student=name, directory=str(places[name]), **about) for name in names)

    assert named() is None, "a directory that is no student of ours: its card speaks of itself"
    assert named(started_from=1, source="one") == "org/model"
    assert named(sources=sources("one", "builtin")) == "org/model"
    assert named(sources=sources("one", "other", "one")) == ["org/model", "org/other"]
    assert named(sources=sources("builtin")) is None


def test_the_licence_of_a_base_in_a_directory_is_kept(tmp_path: Path) -> None:
    assert license_of(tmp_path) is None
    card = tmp_path / "README.md"
    for text, found in (
        ("---\nlicense: apache-2.0\n---\n# A base\n", "apache-2.0"),
        ("# A base without metadata\n", None),
        ("---\nlicense: [broken\n---\n", None),
    ):
        card.write_text(text)
        assert license_of(tmp_path) == found
    card.write_text("---\nlicense: mit\n---\n")
    run = spec.Spec.model_validate_json(
        (make_run(tmp_path / "run", base=str(tmp_path)) / "spec.json").read_text()
    )
    assert "license: mit" in metadata(run, "text-generation", [])
