"""The tab about what accuracy costs."""

from __future__ import annotations

from dataclasses import replace

from state.views.frontier import CostPoint
from state.views.status_records import RunStatus
from tui.screens.run_frontier import paint_frontier


def point(name: str, run: int | None, accuracy: float, flops: float | None, **more: object) -> CostPoint:
    low, high = max(0.0, accuracy - 0.05), min(1.0, accuracy + 0.05)
    return CostPoint(
        **{  # type: ignore[arg-type]
            **{"name": name, "task": "t", "run_id": run, "method": "m", "n": 100, "make_usd": 0.1},
            **{"accuracy": accuracy, "low": low, "high": high, "flops": flops},
            **more,
        }
    )


SMALL = point("small", 1, 0.6, 1e6, bytes=200_000, make_usd=0.0)
LARGE = point("large", 2, 0.9, 1e8, answer_usd=0.001)
WASTEFUL = point("wasteful", 3, 0.61, 5e7)
TEACHER = point("plan", None, 0.8, None, make_usd=0.0, answer_usd=0.002)


def run_status(number: int, task: str, student: str) -> RunStatus:
    return RunStatus(
        id=number,
        student=student,
        task=task,
        trigger="",
        state="done",
        method="m",
        samples=1,
        step=1,
        steps=1,
        loss=None,
        tokens_per_second=None,
        eta_s=None,
        directory="",
        error="",
    )


def runs() -> tuple[RunStatus, ...]:
    one, two, three = (run_status(number, "t", f"student{number}") for number in (1, 2, 3))
    return one, replace(two, sources=(1,)), replace(three, sources=(2, 1, 99))


def test_students_by_cost_with_those_on_the_front() -> None:
    text = paint_frontier([WASTEFUL, LARGE, SMALL, TEACHER], runs()[1], runs(), 90).plain
    table = text[text.index("student or plan") :].splitlines()
    assert [line.split()[0] for line in table[1:5]] == ["small", "wasteful", "▸", "◆"], (
        "by FLOPs, teachers last"
    )
    assert table[1].endswith("FLOPs $") and table[2].endswith("–") and table[3].endswith("FLOPs $")
    assert "$1.00" in table[3] and "$2.00" in table[4], "dollars of 1,000 answers"
    assert text.startswith("t: % on test by FLOPs a question") and "●" in text


def test_narrow_text_has_fewer_columns_and_no_wider_lines() -> None:
    for width in (34, 50, 62, 76, 120):
        text = paint_frontier([SMALL, LARGE, TEACHER], runs()[0], runs(), width)
        told = [line for line in text.plain.splitlines() if not line.startswith("●")]
        assert max(map(len, told)) <= max(width, 60), width


def test_ancestors_are_followed_once() -> None:
    text = paint_frontier([SMALL, LARGE], runs()[2], runs(), 90).plain
    tree = text[text.index("made from") :].splitlines()[1:]
    assert [line.strip().split("  ")[0] for line in tree] == [
        "└─ run 2 student2",
        "└─ run 1 student1",
        "└─ run 1 student1",
        "└─ run 99 of another database",
    ]
    assert [len(line) - len(line.lstrip()) for line in tree] == [0, 3, 0, 0]


def test_without_data_it_says_so() -> None:
    assert paint_frontier(None, runs()[0], runs(), 80).plain == "Reading …"
    assert "No student of this task is tested yet" in paint_frontier([], runs()[0], runs(), 80).plain
    assert "needs two students" in paint_frontier([SMALL, TEACHER], runs()[0], runs(), 80).plain
