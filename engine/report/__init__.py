"""Tables of what was sampled, trained and evaluated."""

from engine.report.html import page
from engine.report.markdown import render, summary
from engine.report.methods import Cell, method_table, text_table

__all__ = ["Cell", "method_table", "page", "render", "summary", "text_table"]
