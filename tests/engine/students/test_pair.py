"""An asker and a solver as one student: who writes which turn, what is refused, and the derived run as a whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engine.config.students import EvaluationConfig, TrainingConfig
from engine.forms import FIRST
from engine.methods import METHODS, Asking
from engine.students.operations import OPERATIONS
from engine.students.operations.base import Member
from engine.students.spec import SourceStudent, Spec, digest_of, write_rows
from tests.engine.students.runs import make_base, paper, rows
from tests.lazily import Lazy

torch, transformers = Lazy("torch"), Lazy("transformers")
evaluate, train = Lazy("engine.students.evaluate"), Lazy("engine.students.train")
exported, part_models = Lazy("engine.students.exported_student"), Lazy("engine.students.part_models")

PAIR = OPERATIONS["pair"]
METHOD = METHODS["socratic"]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two exported students of one tokenizer and other weights."""
    folder = tmp_path_factory.mktemp("pair")
    base = make_base(folder / "base", "llama")
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    found = []
    for seed in (1, 2):
        place = folder / str(seed) / "student"
        shutil.copytree(base, place)
        model = exported.load_copy(base, "cpu")
        evaluate.prepare_generation(model, tokenizer, paper(tokenizer, method=METHOD))
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        model.save_pretrained(place)
        found.append(place)
    return found


def source(place: Path, part: str, number: int = 1, **more) -> SourceStudent:
    return SourceStudent(
        run_id=number,
        student=f"s{number}",
        scope="coin",
        role=part,
        directory=str(place),
        rows="",
        method="socratic",
        form=FIRST,
        base="builtin:nano",
        part=part,
        **more,
    )


def test_each_part_writes_the_turns_of_its_roles(places) -> None:
    asker, solver = (exported.load_copy(place, "cpu") for place in places)
    tokenizer = transformers.AutoTokenizer.from_pretrained(places[0])
    form, config = paper(tokenizer, method=METHOD), EvaluationConfig(max_new_tokens=8)

    def written(model, asked):
        write = evaluate.writer(model, tokenizer, form, config, stopping=lambda: False)
        return [each.text for each in write(asked, None)]

    turns = (("ask", "Who?"), ("solve", "Ann."))
    asked = [
        Asking("Ann flips. Heads?", role, turns[:at])
        for role, at in (("ask", 0), ("solve", 1), ("answer", 2), ("ask", 2), ("plan", 0))
    ]
    both = written(part_models.PartModels({"ask": asker, "solve": solver}), asked)
    by_asker, by_solver = written(asker, asked), written(solver, asked)
    assert both == [by_asker[0], by_solver[1], by_solver[2], by_asker[3], by_asker[4]]
    assert by_asker != by_solver


def test_what_is_no_pair_is_refused(places) -> None:
    one, two = (source(place, part, n) for n, (place, part) in enumerate(zip(places, PAIR.roles), 1))  # noqa: B905
    assert PAIR.refusal([one, two]) == ""
    assert 'was not trained with part = "ask"' in PAIR.refusal([two, one])
    guided = two.model_copy(update={"guidance": "steps"})
    assert "another method, form or guidance" in PAIR.refusal([one, guided])
    assert 'make = "pair" joins the two' in OPERATIONS["ensemble"].refusal([one, two])
    asks, solves = (
        Member(name=name, method="socratic", chain=(name,), base="builtin:nano", part=name)
        for name in PAIR.roles
    )
    assert PAIR.misfit([asks, solves]) == ""
    assert 'solve is not the part that asks or solves: it needs part = "ask"' in PAIR.misfit([solves, asks])
    assert "made from 2 students" in PAIR.misfit([asks])


def test_a_pair_is_made_exported_and_tested_as_a_run(places, tmp_path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    write_rows(directory / "manifest.jsonl", [])
    write_rows(directory / "questions.jsonl", rows()[1][6:10])
    sources = tuple(source(place, part, n) for n, (place, part) in enumerate(zip(places, PAIR.roles), 1))  # noqa: B905
    spec = Spec(
        run_id=3,
        student="both",
        scope="coin",
        trigger="complete",
        method="socratic",
        base=str(places[0]),
        form=FIRST,
        training=TrainingConfig(),
        evaluation=EvaluationConfig(max_new_tokens=8),
        manifest_digest=digest_of([]),
        kind="pair",
        operation={"name": "both", "make": "pair", "of": ["s1", "s2"]},
        sources=sources,
    )
    (directory / "spec.json").write_text(spec.to_json(), encoding="utf-8")
    assert train.main([str(directory)]) == 0, (directory / "progress.jsonl").read_text()[-2000:]
    said = json.loads((directory / "evaluation.json").read_bytes())
    files = list((directory / "student").rglob("*.safetensors"))
    assert {path.parent.name for path in files} == {"ask", "solve"}
    assert said["ledger"]["bytes"] == sum(path.stat().st_size for path in files)
    assert said["ledger"]["parameters"] == 2 * sum(
        each.numel() for each in exported.load_copy(places[0], "cpu").parameters()
    )
    assert all(row["flops"] > 0 for row in said["results"])
    card = (directory / "student" / "README.md").read_text()
    assert "an asker and a solver in turn" in card and "FLOPs a test question" in card
