"""`coterie report` on a real file: what is written, and what is shown only where it was asked for."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.__main__ import main
from tests.state.world import make
from tests.test_schema_recipes import CONFIG, fill


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    found = tmp_path_factory.mktemp("report")
    (found / "config.toml").write_text(CONFIG)
    world = make(found / "state.db", questions=0)
    fill(world)
    world.connection.close()
    config = str(found / "config.toml")
    assert main(["report", "-c", config, "-o", str(found / "plain")]) == 0
    assert main(["report", "-c", config, "-o", str(found / "paper"), "--paper"]) == 0
    yield found


def test_each_figure_is_written_as_svg_and_pdf_with_its_points(folder: Path) -> None:
    figures = folder / "plain" / "figures"
    names = {path.stem for path in figures.iterdir()}
    assert {"main-result", "accuracy-by-epoch"} <= names
    for name in names:
        assert (figures / f"{name}.svg").read_text().startswith("<svg")
        assert (figures / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    with (figures / "main-result.csv").open(newline="") as file:
        rows = {row["arm"]: row for row in csv.DictReader(file)}
    assert {"x.cot.s0", "x.plain.s2", "chance"} <= set(rows)
    assert float(rows["x.cot.s1"]["low"]) < float(rows["x.cot.s1"]["accuracy"])


def test_the_main_result_comes_first_and_the_head_says_of_what_it_is(folder: Path) -> None:
    text = (folder / "plain" / "report.md").read_text()
    assert text.index("main-result.svg") < text.index("## Accuracy on test") < text.index("Arms compared")
    head = text[: text.index("main-result.svg")]
    assert re.search(r"Written on \d{4}-\d\d-\d\d \d\d:\d\d UTC\.", head)
    assert "Bases: builtin:nano." in head and "a (m)" in head
    assert "Passes over the training sets: 3.0 to 3.0." in head


def test_the_paper_s_count_is_a_grey_column_where_it_was_asked_for(folder: Path) -> None:
    plain, paper = (
        [(folder / name / f"report.{form}").read_text() for form in ("md", "html")]
        for name in ("plain", "paper")
    )
    assert "as the paper counted" in paper[0] and not re.search("as the paper counted", "".join(plain))
    assert re.search(r"<td[^>]*><em>\d+\.\d</em></td>", paper[1]) and "<em>" not in plain[1]
    assert "td em { font-style: normal; color:" in paper[1]
    accuracies = [re.findall(r"\d+\.\d \(\d+\.\d–\d+\.\d\)", text) for text in (plain[0], paper[0])]
    assert accuracies[0] == accuracies[1]
