from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from engine.config import StudentConfig
from engine.students.requirements import missing

ALL = {
    "tracker": "wandb",
    "attention": "flash",
    "liger": True,
    "compile": True,
    "hostfile": "hosts",
    "launcher": "slurm",
    "zero_stage": 1,
}


def lacks(
    monkeypatch: pytest.MonkeyPatch, training: dict[str, Any], found: set[str], **more: Any
) -> list[str]:
    """What is missing where only some packages are installed and nothing is on the PATH."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in found else None)
    on_gpu = more.pop("on_gpu", False)
    path = more.pop("path", "")
    student = StudentConfig.model_validate({"name": "s", "training": training, **more})
    return missing([student], {"PATH": path}, on_gpu=on_gpu)


def test_everything_that_is_missing_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    command = {"server_command": ["no-such-server", "{student}"]}
    said = lacks(monkeypatch, ALL, set(), evaluation=command)
    needles = ("wandb", "srun", 'attention = "flash"', "liger = true", "compile = true", "no-such-server")
    assert len(said) == len(needles)
    for needle in needles:
        (line,) = [each for each in said if needle in each]
        assert line.startswith("students.s.")


def test_a_machine_that_has_everything_lacks_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("srun", "g++", "server"):
        (tmp_path / name).touch(mode=0o755)
    packages = {"wandb", "flash_attn", "liger_kernel", "triton"}
    given = {"evaluation": {"server_command": ["server", "{student}"]}, "path": str(tmp_path)}
    assert lacks(monkeypatch, ALL, packages, on_gpu=True, **given) == []
    (fp32,) = lacks(monkeypatch, {**ALL, "precision": "fp32"}, packages, on_gpu=True, **given)
    assert "it needs bf16" in fp32
    (triton,) = lacks(monkeypatch, ALL, packages - {"triton"}, on_gpu=True, **given)
    assert "triton" in triton
    on_cpu = lacks(monkeypatch, ALL, packages, **given)
    assert len(on_cpu) == 2 and all("it needs a GPU" in each for each in on_cpu)


def test_defaults_and_untrained_students_need_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lacks(monkeypatch, {}, set()) == []
    assert lacks(monkeypatch, {"tracker": "wandb"}, set(), method="base", base="some/model") == []
