"""A new operation is one new file: a copy of the program with that file added knows it, from the configuration to the student."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

OPERATION = '''
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from engine.config.base import Identity
from engine.config.derived import DerivedConfig
from engine.students.operations.base import Made, Operation


class Settings(DerivedConfig):
    """`[[derived]] make = "shrink"`: a student with smaller weights."""

    make: Annotated[Literal["shrink"], Identity.ALWAYS] = "shrink"
    """The operation."""

    by: Annotated[float, Identity.ALWAYS] = 0.5
    """The factor of all weights."""


@dataclass(frozen=True, kw_only=True)
class Shrink(Operation[Settings]):
    def make(self, sources, settings, work):
        from engine.students.exported_student import load_copy

        model = load_copy(Path(sources[0].directory), work.device)
        for tensor in model.state_dict().values():
            tensor.mul_(settings.by)
        return Made(model=model, figures={"by": settings.by})


OPERATION = Shrink(
    name="shrink", title="smaller weights", documentation="all weights times a factor", settings=Settings, needs="any"
)
'''

CONFIG = """\
[teachers.a]
builtin = true
model = "m"
[tasks.t]
source = "builtin:coin_flip"
answer = "yes_no"
[[plans]]
name = "p"
[[students]]
name = "warm"
[[derived]]
name = "small"
make = "shrink"
of = ["warm"]
by = 0.25
"""

PROGRAM = """
import sys
from pathlib import Path

from daemon.training.derived import derived_fingerprint, derived_scopes
from engine.config import document, load_config
from engine.students import train
from engine.students.exported_student import load_copy
from tests.engine.students.test_operations import make_derived
from tests.engine.students.runs import events, make_base

folder = Path(sys.argv[1])
config = load_config(folder / "config.toml")
[[scope]] = derived_scopes(config).values()
assert [source.words for source in scope.sources] == ["warm on t"] and scope.config.by == 0.25
other = scope.config.model_copy(update={"by": 0.5})
assert derived_fingerprint(scope.config, ["x"], []) != derived_fingerprint(other, ["x"], []), "its keys count"
assert '## `[[derived]] make = "shrink"`' in document.document() and "The factor of all weights" in document.document()
base = make_base(folder / "base" / "student", "llama")
run = make_derived(folder / "run", "shrink", [base], by=0.25)
assert train.main([str(run)]) == 0
assert events(run, "made")[0]["figures"] == {"by": 0.25}
before, after = (load_copy(place, "cpu").state_dict() for place in (base, run / "student"))
assert all((after[name] == before[name] * 0.25).all() for name in before)
assert "| by | 0.25 |" in (run / "student" / "README.md").read_text()
print("works")
"""


def test_one_file_is_enough(tmp_path: Path) -> None:
    program = tmp_path / "program"
    for name in ("engine", "state", "daemon", "tests/engine/students"):
        shutil.copytree(ROOT / name, program / name, ignore=shutil.ignore_patterns("__pycache__"))
    for place in ("tests", "tests/engine"):
        (program / place / "__init__.py").touch()
    for name in ("lazily.py",):
        shutil.copy2(ROOT / "tests" / name, program / "tests" / name)
    (program / "engine" / "students" / "operations" / "shrink.py").write_text(OPERATION)
    (tmp_path / "config.toml").write_text(CONFIG)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        cwd=program,
        env={**os.environ, "PYTHONPATH": str(program), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip().endswith("works"), done.stderr[-2000:]
