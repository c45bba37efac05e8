from __future__ import annotations

from dataclasses import replace

from engine.report.made_students import made_students
from state.views.made import MadeStudent
from tests.engine.report.test_markdown import EMPTY, RUN

WARM = replace(RUN, run_id=1, student="warm", task="a", accuracy=0.5)
JOINT = replace(RUN, run_id=9, student="both", task="a", accuracy=0.75)
ONE = replace(RUN, run_id=2, student="specialist", task="a", sources=(1,))
OTHER = replace(RUN, run_id=3, student="specialist", task="b", sources=(1,))
MERGED = replace(
    RUN, run_id=4, student="generalist", task="a", kind="merge", method="merge", sources=(2, 3), accuracy=0.25
)
OLD = replace(MERGED, run_id=5, superseded=True)
SETTINGS = {"make": "merge", "of": ["specialist"], "merge": {"rule": "regmean", "alpha": 0.9}}


def made(**values: object) -> MadeStudent:
    found = {
        "run_id": 4,
        "figures": {"mean_dev": 0.5, "mean_test": 0.41, "objective": 1.5},
        "settings": SETTINGS,
    }
    return MadeStudent(**{**found, "sources": (2, 3), "common": (1,), **values})  # type: ignore[arg-type]


def test_a_merge_stands_beside_its_mean_its_ancestor_and_the_joint_student() -> None:
    both = [replace(each, task="b") for each in (WARM, JOINT, MERGED)]
    runs = (WARM, both[0], ONE, OTHER, MERGED, both[2], OLD, JOINT, both[1])
    results = replace(EMPTY, runs=runs)
    title, _, table, line = made_students(results, {4: made(), 5: made(run_id=5)})
    assert title == "## Students made from students"
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()[2:]]
    assert [row[0] + ": " + row[2] for row in rows] == [
        "a: made", "a: simple mean", "a: source: specialist", "a: common ancestor: warm", "a: joint: both",
        "b: made", "b: simple mean", "b: source: specialist", "b: common ancestor: warm", "b: joint: both",
    ]  # fmt: skip
    assert rows[0][5].startswith("25.0") and rows[1][5] == "41.0" and rows[3][5].startswith("50.0")
    assert (
        line
        == "- `generalist` (run 4): merged weights (rule regmean). mean dev 0.5, mean test 0.41, objective 1.5."
    )


def test_without_made_students_there_is_no_section() -> None:
    assert made_students(replace(EMPTY, runs=(WARM, ONE)), {}) == []
