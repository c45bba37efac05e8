"""Small twins of the checks of `bench.systems`."""

from __future__ import annotations

import importlib
import re
from itertools import islice

import pytest

from bench.systems import brainstorm, ensemble, regmean, socratic, specialise
from bench.systems.__main__ import main, systems
from bench.systems.gates import Gate, verdict
from engine.students.conversations import converse
from engine.students.room import Completion


def test_an_ensemble_passes_its_gates_and_fails_those_of_a_broken_one() -> None:
    small = {"seeds": (0, 1), "steps": 40, "held_back": 12}
    found = list(ensemble.gates(False, **small))
    assert [gate.line() for gate in found if not gate.passed] == []
    broken = {gate.name: gate.passed for gate in ensemble.gates(True, **small)}
    assert len(broken) == len(found) == 5
    assert not broken["loss of the geometric mean"] and not broken["one member is itself"]
    assert not broken["two ids of a tokenizer swapped"]


def test_distributions_pass_their_gates_and_fail_those_of_broken_ones() -> None:
    """Without those over seeds, which train students."""
    found, broken = (list(islice(specialise.gates(each, taught=20), 3)) for each in (False, True))
    assert [gate.line() for gate in found if not gate.passed] == []
    assert [gate.line() for gate in broken if gate.passed] == []


def test_panels_pass_their_gates_and_fail_those_of_broken_ones() -> None:
    assert [gate.line() for gate in brainstorm.gates(False, lives=12) if not gate.passed] == []
    assert [gate.line() for gate in brainstorm.gates(True, lives=12) if gate.passed] == []


def test_a_failing_gate_is_the_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gates(broken: bool) -> list[Gate]:
        return [Gate(name="it", figure="1", threshold="at most 2", passed=not broken, seeds=(3,))]

    assert "ensemble" in systems()
    monkeypatch.setattr(ensemble, "gates", gates)
    assert main(["ensemble"]) == 0
    assert capsys.readouterr().out == "ensemble\nok    it: 1 (at most 2)  seeds 3\nverdict: passed\n"
    assert main(["ensemble", "--break"]) == 1
    assert "FAIL  it: 1 (at most 2)" in capsys.readouterr().out
    assert verdict([]) == 0
    for name in systems():
        monkeypatch.setattr(importlib.import_module(f"bench.systems.{name}"), "gates", gates)
    assert main(["all"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if line in systems()] == systems() == [*sorted(systems())]
    assert said[-1] == f"systems: {len(systems())} of {len(systems())} passed"
    assert {"prompt", "prune", "regmean"} <= {*systems()}


def test_regmean_passes_its_gates_on_layers_and_fails_those_of_broken_ones() -> None:
    found = [*regmean.layer_gates(broken=False), regmean.conv1d_gate(broken=False)]
    assert [gate.line() for gate in found if not gate.passed] == []
    broken = [*regmean.layer_gates(broken=True), regmean.conv1d_gate(broken=True)]
    assert [gate.passed for gate in broken] == [False, False, False]


def solves(asked, _temperature):
    """A student that asks for its own question's steps and solves whatever sub-question stands before it."""
    found = []
    for each in asked:
        steps = re.findall(r"(\w+, (?:add|take away) \d+|\w+, double it)\.", each.question)
        begin = int(re.findall(r"The number is (\d+)", each.question)[0])
        asks = [text for role, text in each.turns if role == "ask"]
        solved = [text for role, text in each.turns if role == "solve"]
        value = int(re.findall(r"-?\d+", solved[-1])[-1]) if solved else begin
        if each.role == "ask":
            said = f"{steps[len(asks)]}: what is the number now?" if len(asks) < len(steps) else "done"
        elif each.role == "solve":
            amount = int((re.findall(r"\d+", asks[-1]) or ["2"])[-1])
            now = (
                value * 2 if "double" in asks[-1] else value + amount if "add" in asks[-1] else value - amount
            )
            said = f"so it is {now}"
        else:
            said = str(value)
        found.append(Completion(said, ended=True))
    return found


def test_the_sub_questions_of_other_problems_are_noticed() -> None:
    rows, asked = socratic.problems(8, 60)
    method = socratic.METHOD
    assert len(rows) == 8 and all(method.unfit(row.rationale or "") is None for row in rows)

    def share(write) -> float:
        said = converse(method, "none", write, [each.question for each in asked], None)
        pairs = zip(said, asked, strict=True)
        return sum(method.parse(each.text) == row.gold for each, row in pairs) / len(asked)

    assert share(solves) == 1.0 >= socratic.LEAST
    assert share(socratic.of_other_problems(solves)) <= socratic.MOST


def test_the_planted_failure_fails_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socratic, "trained", lambda directory, _rows, _seed: directory)
    monkeypatch.setattr(socratic, "accuracy", lambda _run, _asked, *, others: 0.1 if others else 0.97)
    assert "socratic" in systems()
    assert main(["socratic"]) == 0
    assert main(["socratic", "--break"]) == 1
