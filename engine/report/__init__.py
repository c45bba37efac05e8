"""Tables and figures of what was sampled, trained and evaluated."""

from engine.report.accuracy_table import (
    TERMINAL,
    Cell,
    baselines,
    method_table,
    self_consistency,
    terminal_tables,
    text_table,
)
from engine.report.canvas import Figure
from engine.report.chance import chance
from engine.report.comparisons import Compared, differences, planned_comparisons
from engine.report.figures import figures
from engine.report.frontier import ledger
from engine.report.html import page
from engine.report.learning_rates import Choice, choose, rates_table
from engine.report.made_students import made_students
from engine.report.main_figure import MAIN
from engine.report.markdown import render, summary
from engine.report.matrix import Point, headline, points, tables
from engine.report.paper_count import paper_accuracy
from engine.report.seen_answers import seen_table
from engine.report.selected_teachers import selected_table
from engine.report.together import together

__all__ = [
    "MAIN",
    "TERMINAL",
    "Cell",
    "Choice",
    "Compared",
    "Figure",
    "Point",
    "baselines",
    "chance",
    "choose",
    "differences",
    "figures",
    "headline",
    "ledger",
    "made_students",
    "method_table",
    "page",
    "paper_accuracy",
    "planned_comparisons",
    "points",
    "rates_table",
    "render",
    "seen_table",
    "selected_table",
    "self_consistency",
    "summary",
    "tables",
    "terminal_tables",
    "text_table",
    "together",
]
