"""Small twins of the checks of `bench.systems`."""

from __future__ import annotations

import pytest

from bench.systems import ensemble
from bench.systems.__main__ import main, systems
from bench.systems.gates import Gate, verdict


def test_an_ensemble_passes_its_gates_and_fails_those_of_a_broken_one() -> None:
    small = {"seeds": (0, 1), "steps": 40, "held_back": 12}
    found = list(ensemble.gates(False, **small))
    assert [gate.line() for gate in found if not gate.passed] == []
    broken = {gate.name: gate.passed for gate in ensemble.gates(True, **small)}
    assert len(broken) == len(found) == 5
    assert not broken["loss of the geometric mean"] and not broken["one member is itself"]
    assert not broken["two ids of a tokenizer swapped"]


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
