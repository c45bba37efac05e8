from __future__ import annotations

import json
import time

import pytest

from tests.lazily import Lazy

precision = Lazy("engine.students.precision")


def never() -> float:
    raise AssertionError("nothing is measured")


@pytest.mark.parametrize(("ratio", "bf16"), [(3.1, True), (1.1, False), (0.011, False)])
def test_the_faster_one_is_taken_and_kept(tmp_path, ratio: float, bf16: bool) -> None:
    taken, why = precision.choose(tmp_path, "amx_bf16", began=False, compare=lambda: ratio)
    assert taken is bf16
    assert why.startswith(f'precision "auto" is {"bf16" if bf16 else "float32"}: this CPU has amx_bf16')
    assert f"measured {ratio:.1f} times as fast" in why
    assert precision.choose(tmp_path, "amx_bf16", began=True, compare=never) == (bf16, "")
    assert precision.choose(tmp_path, "amx_bf16", began=False, compare=never) == (bf16, "")
    elsewhere, why = precision.choose(tmp_path, "", began=True, compare=never)
    assert elsewhere is bf16 and ("no instructions" in why) is bf16


def test_without_instructions_nothing_is_tried_or_written(tmp_path) -> None:
    assert precision.choose(tmp_path, "", began=False, compare=never) == (False, "")
    assert not list(tmp_path.iterdir())


def test_small_bases_stay_in_float32_and_keep_what_they_began_with(tmp_path) -> None:
    assert precision.choose(tmp_path, "amx_bf16", began=False, small=True, compare=never) == (False, "")
    (tmp_path / precision.FILE).write_text('{"bf16": true}')
    assert precision.choose(tmp_path, "amx_bf16", began=True, small=True, compare=never) == (True, "")


def test_a_base_is_small_by_its_files(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "SMALL_BYTES", 100)
    assert precision.is_small("builtin:mini")
    assert not precision.is_small("org/some-model") and not precision.is_small(str(tmp_path))
    (tmp_path / "a.safetensors").write_bytes(bytes(60))
    assert precision.is_small(str(tmp_path)) and precision.is_small(str(tmp_path / "a.safetensors"))
    (tmp_path / "b.safetensors").write_bytes(bytes(60))
    assert not precision.is_small(str(tmp_path))


def test_a_run_that_began_elsewhere_goes_on_in_float32(tmp_path) -> None:
    assert precision.choose(tmp_path, "amx_bf16", began=True, compare=never) == (False, "")


def test_a_damaged_choice_is_made_again(tmp_path) -> None:
    (tmp_path / precision.FILE).write_text("{")
    assert precision.choose(tmp_path, "avx512_bf16", began=False, compare=lambda: 2.0)[0]
    assert json.loads((tmp_path / precision.FILE).read_text()) == {"bf16": True, "speed": 2.0}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 amx_bf16 amx_tile", "amx_bf16"),
        ("flags\t\t: fpu avx2 avx512_bf16", "avx512_bf16"),
        ("Features\t: fp asimd bf16 i8mm", "bf16"),
        ("flags\t\t: fpu avx avx2 fma", ""),
        ("model name\t: a bf16 of a name", ""),
    ],
)
def test_the_cpu_says_what_it_has(tmp_path, line: str, found: str) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{line}\n")
    assert precision.bf16_instructions(tmp_path / "cpuinfo") == found
    assert precision.bf16_instructions(tmp_path / "none") == ""


def test_a_trial_is_short_and_comparable() -> None:
    begun = time.process_time()
    ratio = precision.speed_ratio()
    assert time.process_time() - begun < 5 and 0 < ratio < 100
    if not precision.bf16_instructions():
        assert ratio < 1.2, "a CPU without instructions for bf16 is not faster with it"
