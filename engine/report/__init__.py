"""Tables and figures of what was sampled, trained and evaluated."""

from engine.report.accuracy_table import Cell, baselines, method_table, self_consistency, text_table
from engine.report.chance import chance
from engine.report.figures import Figure, figures
from engine.report.html import page
from engine.report.markdown import render, summary
from engine.report.matrix import Point, headline, points, tables
from engine.report.paired import differences

__all__ = [
    "Cell",
    "Figure",
    "Point",
    "baselines",
    "chance",
    "differences",
    "figures",
    "headline",
    "method_table",
    "page",
    "points",
    "render",
    "self_consistency",
    "summary",
    "tables",
    "text_table",
]
