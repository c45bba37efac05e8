"""Wordings in the report: how right the teacher was with each, and whether the best one beats the plan's own."""

from __future__ import annotations

from engine.report.accuracy_table import text_table
from state.confidence_interval import accuracy_text
from state.results import Results
from state.safe import safe, safe_markdown
from state.views.wordings import SearchStatus, WordingStatus, search_statuses

ABOUT = (
    "Each wording was asked dev questions, one sample each, in rounds: after a round the worse half was asked nothing more, so those were compared on fewer"
    " questions. The sentence above compares the best wording with the plan's own, `given`, on questions that chose nothing, so that the comparison favours neither:"
    " a wording beats the given one if the 95 % interval of their difference (Newcombe, paired by question) is above 0. Nothing was changed by it."
)


def wordings(results: Results) -> str:
    """What was found, and a table with a row for each wording, plan and task; empty where none was tried."""
    found = search_statuses(results.searches)
    if not found:
        return ""
    head = ("plan", "task", "wording", "dev questions", "correct % (95 % interval)", "")
    body = [_row(search, each) for search in found for each in search.wordings]
    said = "\n".join(f"- {safe_markdown(search.text)}" for search in found)
    return f"{said}\n\n{safe(text_table(head, body, left=3))}"


def _row(search: SearchStatus, each: WordingStatus) -> list[str]:
    share = accuracy_text(each.correct / each.n, each.low, each.high) if each.n else "–"
    place = "the best" if each.name == search.best else "" if each.left else "left out"
    return [search.of, search.task, each.name, f"{each.n:,}", share, place]
