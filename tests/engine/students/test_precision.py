from __future__ import annotations

import json
import time

import pytest

from engine.students.precision import FILE, bf16_instructions, choose, speed_ratio


def never() -> float:
    raise AssertionError("nothing is measured")


@pytest.mark.parametrize(("ratio", "bf16"), [(3.1, True), (1.1, False), (0.011, False)])
def test_the_faster_one_is_taken_and_kept(tmp_path, ratio: float, bf16: bool) -> None:
    taken, why = choose(tmp_path, "amx_bf16", began=False, compare=lambda: ratio)
    assert taken is bf16
    assert why.startswith(f'precision "auto" is {"bf16" if bf16 else "float32"}: this CPU has amx_bf16')
    assert f"measured {ratio:.1f} times as fast" in why
    assert choose(tmp_path, "amx_bf16", began=True, compare=never) == (bf16, "")
    assert choose(tmp_path, "amx_bf16", began=False, compare=never) == (bf16, "")
    elsewhere, why = choose(tmp_path, "", began=True, compare=never)
    assert elsewhere is bf16 and ("no instructions" in why) is bf16


def test_without_instructions_nothing_is_tried_or_written(tmp_path) -> None:
    assert choose(tmp_path, "", began=False, compare=never) == (False, "")
    assert not list(tmp_path.iterdir())


def test_a_run_that_began_elsewhere_goes_on_in_float32(tmp_path) -> None:
    assert choose(tmp_path, "amx_bf16", began=True, compare=never) == (False, "")


def test_a_damaged_choice_is_made_again(tmp_path) -> None:
    (tmp_path / FILE).write_text("{")
    assert choose(tmp_path, "avx512_bf16", began=False, compare=lambda: 2.0)[0]
    assert json.loads((tmp_path / FILE).read_text()) == {"bf16": True, "speed": 2.0}


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
    assert bf16_instructions(tmp_path / "cpuinfo") == found
    assert bf16_instructions(tmp_path / "none") == ""


def test_a_trial_is_short_and_comparable() -> None:
    begun = time.process_time()
    ratio = speed_ratio()
    assert time.process_time() - begun < 5 and 0 < ratio < 100
    if not bf16_instructions():
        assert ratio < 1.2, "a CPU without instructions for bf16 is not faster with it"
